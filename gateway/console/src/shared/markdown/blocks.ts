/**
 * Splits Markdown into its top-level blocks, so that an answer that grows is parsed and drawn again only in its last block. A blank line
 * ends a block, except inside a fence; a list and what is indented below it stay together.
 */
export function splitBlocks(markdown: string): string[] {
  const blocks: string[] = [];
  let current: string[] = [];
  let fence: string | undefined;
  const close = () => {
    if (current.some((line) => line.trim() !== "")) blocks.push(current.join("\n"));
    current = [];
  };
  for (const line of markdown.split("\n")) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence) {
      current.push(line);
      if (mark && mark[0] === fence[0] && mark.length >= fence.length && line.trim() === mark) {
        fence = undefined;
        close();
      }
      continue;
    }
    if (mark) {
      // A fence that is indented below a list item belongs to the list.
      if (!startsList(current) || !/^\s/.test(line)) close();
      fence = mark;
      current.push(line);
      continue;
    }
    if (line.trim() === "") {
      current.push(line);
      continue;
    }
    const afterBlank = current.length > 0 && current.at(-1)?.trim() === "";
    if (afterBlank && !(startsList(current) && (/^\s/.test(line) || isListItem(line)))) close();
    current.push(line);
  }
  close();
  return blocks;
}

function startsList(lines: readonly string[]): boolean {
  const first = lines.find((line) => line.trim() !== "");
  return first !== undefined && isListItem(first);
}

function isListItem(line: string): boolean {
  return /^ {0,3}([-*+]|\d{1,9}[.)])\s/.test(line);
}
