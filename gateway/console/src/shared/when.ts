/**
 * The sentence of a description that says when to pick an agent: descriptions of the catalogue have one that begins with `Pick it`.
 * Without it, the first sentence.
 */
export function whenToPick(description: string): { when: string; what: string } {
  // A full stop inside a word, as in schema.org, ends no sentence.
  const texts = description.replaceAll(/\s+/g, " ").trim().split(/(?<=[.!?])\s+(?=\p{Lu}|["“])/u);
  const index = texts.findIndex((sentence) => /^(pick|choose|use|take) it\b/i.test(sentence));
  if (index < 0) return { when: texts[0] ?? "", what: texts.slice(1).join(" ") };
  const when = (texts[index] ?? "").replace(/^(pick|choose|use|take) it\s+/i, "");
  return { when: when.charAt(0).toUpperCase() + when.slice(1), what: texts[0] && index > 0 ? texts[0] : "" };
}
