"""Reading a folder: the agents that are served, and the problems that are reported."""

import ast
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import pytest

from catalogue.catalogue import Catalogue, Category
from catalogue.errors import AgentNotFound, DefinitionsUnreadable
from catalogue.files.reader import read
from catalogue.prompt import system_prompt

Text = Callable[..., str]
Write = Callable[..., Path]

WHOLE = """\
category: marketing
role: seo_strategist
prompt: |
  You are {{title}} for {{audience}}.
parameters: {title: an SEO strategist, audience: everybody}
model: claude-opus-5-5
max_tokens: 2048
context_schema: {type: object, required: [url]}
tags: [seo, web]
agents:
  - agent_id: marketing_seo_strategist_agent_1_41
    number: 41
    name: Technical Auditor
    description: >
      Audits sites.
    tags: [web, audit]
    parameters: {audience: developers}
    focus: |
      You audit for {{audience}}.
    examples: ["Audit example.com", "Why is this page not indexed?"]
  - agent_id: marketing_seo_strategist_agent_2_840
    name: Link Builder
    description: Builds links.
    model: claude-haiku-5-5
    max_tokens: 100
    context_schema: {type: object}
"""


def test_a_family_shares_its_values_with_its_agents(folder: Path, write: Write) -> None:
    """An agent's own values override the family's; its tags are added."""
    path = write("marketing/seo_strategist.yaml", WHOLE)
    catalogue = read(folder)
    assert catalogue.problems == ()
    auditor, builder = catalogue.agents
    assert auditor == replace(
        auditor,
        agent_id="marketing_seo_strategist_agent_1_41",
        number=41,
        name="Technical Auditor",
        category="marketing",
        role="seo_strategist",
        description="Audits sites.",
        tags=("seo", "web", "audit"),
        model="claude-opus-5-5",
        max_tokens=2048,
        context_schema={"type": "object", "required": ["url"]},
        examples=("Audit example.com", "Why is this page not indexed?"),
        source=path,
    )
    assert system_prompt(auditor).endswith("\n\nYou are an SEO strategist for developers.\n\nYou audit for developers.")
    assert system_prompt(builder).endswith("\n\nYou are an SEO strategist for everybody.")
    assert (builder.model, builder.max_tokens, builder.context_schema) == ("claude-haiku-5-5", 100, {"type": "object"})


def test_a_new_file_with_one_agent_is_served(folder: Path, write: Write, single: Text) -> None:
    """Anywhere below the folder, as .yaml, .yml or .json; omitted values have defaults."""
    write("a.yaml", single(1))
    write("deep/down/b.yml", single(2))
    content = {"category": "own", "role": "helper", "prompt": "Hi.", "agent_id": "x_agent_1_3", "name": "X", "description": "X."}
    write("c.JSON", json.dumps(content))
    write("bom.json", b"\xef\xbb\xbf" + json.dumps(content | {"agent_id": "x_agent_1_4"}).encode())
    catalogue = read(folder)
    assert catalogue.problems == ()
    assert [agent.number for agent in catalogue.agents] == [1, 2, 3, 4]
    helper = catalogue.get("own_helper_agent_1_1")
    assert (helper.max_tokens, helper.model, helper.context_schema, helper.tags, helper.focus) == (4096, None, None, (), "")
    assert system_prompt(helper).endswith("\n\nHelp people.")


def test_other_files_are_not_definitions(folder: Path, write: Write, family: Text) -> None:
    """Prices, the schema, notes, files that editors and Kubernetes create beside the definitions, and every hidden file."""
    for name in ("models.yaml", "schema.json", "README.md", "x.yaml~", ".x.yaml.swp", ".hidden.yaml", "..2026_11/x.yaml", ".git/x.yaml"):
        write(name, "not: a definition")
    write("sub/models.yaml", "not: one either")
    write("real.yaml", family(1))
    catalogue = read(folder)
    assert (len(catalogue), catalogue.problems) == (1, ())


def test_the_catalogue_finds_agents_by_id_port_and_category(folder: Path, write: Write, family: Text, single: Text) -> None:
    """Two agents may share a port; the port moves with the offset."""
    write("m.yaml", family(841, 41))
    write("n.yaml", family(5, role="analyst"))
    write("o.yaml", single(9))
    catalogue = read(folder)
    assert [agent.number for agent in catalogue.agents] == [5, 9, 41, 841]
    assert [agent.number for agent in catalogue.on_port(8241)] == [41, 841]
    assert [agent.number for agent in catalogue.on_port(18241, offset=10000)] == [41, 841]
    assert catalogue.on_port(8200) == ()
    assert catalogue.categories() == (Category("marketing", 3, ("analyst", "strategist")), Category("own", 1, ("helper",)))
    assert catalogue.find("own_helper_agent_1_9") is catalogue.agents[1]
    assert catalogue.find("own_helper_agent_1_10") is None
    with pytest.raises(AgentNotFound, match=r"Agent 'x' not found; GET /api/v1/agents lists the agents") as missing:
        catalogue.get("x")
    assert (missing.value.reason, missing.value.details) == ("AGENT_NOT_FOUND", {"agent_id": "x"})


BROKEN = {
    "empty": ("", ["empty"]),
    "only a comment": ("# soon\n", ["empty"]),
    "a list": ("- a\n- b\n", ["the file must be an object, not a list"]),
    "a sentence": ("Dear sirs", ["must be an object, not a string"]),
    "no syntax": ("category: [marketing\nrole: x\n", ["line 2"]),
    "half written": (WHOLE[: WHOLE.index("agents:")], ["line 1: agent_id is missing; add it, or add agents if"]),
    "cut in the middle of a key": (WHOLE[: WHOLE.index("description: >")] + "desc", ["line"]),
    "a missing key": (WHOLE.replace("role: seo_strategist\n", ""), ["role is missing; add it"]),
    "an agent without name": (
        WHOLE.replace("    name: Link Builder\n", ""),
        ["line 21: agents[1].name is missing; add it"],
    ),
    "a misspelt key": (
        WHOLE.replace("examples:", "exmaples:"),
        ["line 20: agents[0].exmaples is not a known key; did you mean 'examples'?"],
    ),
    "an unknown key": (WHOLE + "zzz: 1\n", ["line 27: zzz is not a known key; remove it, or use one of these: category, role, prompt"]),
    "temperature": (WHOLE + "temperature: 0.2\n", ["line 27: temperature is not supported: the provider's API"]),
    "top_p on an agent": (WHOLE + "    top_p: 1\n", ["line 27: agents[1].top_p is not supported"]),
    "top_k on an agent": (WHOLE + "    top_k: 1\n", ["agents[1].top_k is not supported"]),
    "an upper-case category": (WHOLE.replace("category: marketing", "category: Marketing"), ["line 1: category must match", "lower-case"]),
    "a number for a text": (WHOLE.replace("name: Link Builder", "name: 12"), ["agents[1].name must be a string; quote it"]),
    "a number for a parameter": (WHOLE.replace("audience: everybody", "audience: 7"), ["parameters.audience must be a string; quote it"]),
    "a list as parameters": (WHOLE.replace("{audience: developers}", "[x]"), ["agents[0].parameters must be an object, not a list"]),
    "a parameter's bad name": (
        WHOLE.replace("{audience: developers}", "{audience: d, Au-dience: x}"),
        ['agents[0].parameters has the key "Au-dience", which must match'],
    ),
    "a blank prompt": (WHOLE.replace("  You are {{title}} for {{audience}}.", "  "), ["prompt must match"]),
    "no agents": (WHOLE[: WHOLE.index("agents:")] + "agents: []\n", ["agents must have at least 1 item"]),
    "an id without number": (WHOLE.replace("agent_1_41\n", "agent_1\n"), ["agents[0].agent_id must match", "_agent_<index>_<number>"]),
    "another number than the id's": (WHOLE.replace("number: 41", "number: 42"), ["line 12: agents[0].number must be 41, the last part"]),
    "a number too large": (WHOLE.replace("_2_840", "_2_3000000000"), ["agents[1].agent_id ends in 3000000000, which is above the"]),
    "max_tokens of zero": (WHOLE.replace("max_tokens: 100", "max_tokens: 0"), ["agents[1].max_tokens must be at least 1"]),
    "max_tokens in words": (WHOLE.replace("max_tokens: 100", "max_tokens: many"), ["max_tokens must be a whole number, not a string"]),
    "max_tokens with a fraction": (WHOLE.replace("max_tokens: 100", "max_tokens: 1.5"), ["max_tokens must be a whole number"]),
    "a placeholder without parameter": (
        WHOLE.replace("{{title}} for", "{{titel}} for"),
        ["line 3: prompt has the placeholder {{titel}} without a parameter; add 'titel' under", "parameters.title is used by no"],
    ),
    "a placeholder in capitals": (WHOLE.replace("{{title}} for", "{{Job-Title}} for {{title}}"), ["write {{job_title}} and add"]),
    "a placeholder in a focus without parameter": (
        WHOLE.replace("audit for {{audience}}", "audit for {{client}}"),
        ["line 18: agents[0].focus has the placeholder {{client}}"],
    ),
    "a parameter that one agent lacks": (
        WHOLE.replace(", audience: everybody", ""),
        ["agents[1].parameters must have 'audience'", "add it here or to the family"],
    ),
    "an unused parameter of the family": (WHOLE.replace("{title: an", "{tone: dry, title: an"), ["line 5: parameters.tone is used by no"]),
    "an unused parameter of an agent": (
        WHOLE.replace("{audience: dev", "{tone: dry, audience: dev"),
        ["line 17: agents[0].parameters.tone is used by no placeholder; write {{tone}}"],
    ),
    "a context schema of no known type": (
        WHOLE.replace("{type: object}", "{type: object, properties: {age: {type: nmber}}}"),
        ["line 26: agents[1].context_schema.properties.age.type matches none of the alternatives", "draft 2020-12"],
    ),
    "a context schema for a list": (WHOLE.replace("{type: object}", "{type: array}"), ['context_schema.type must be "object"']),
    "a context schema of an older draft": (
        WHOLE.replace("{type: object}", '{type: object, $schema: "http://json-schema.org/draft-07/schema#"}'),
        ["context_schema.$schema must be", "2020-12"],
    ),
    "a context schema that refers to nothing": (
        WHOLE.replace("{type: object}", '{type: object, $ref: "#/$defs/nothing"}'),
        ["context_schema", "references must stay inside this schema"],
    ),
    "a context schema that refers to the net": (
        WHOLE.replace("{type: object}", '{type: object, $ref: "http://127.0.0.1:9/x.json"}'),
        ["context_schema", "references must stay inside this schema"],
    ),
    "a context schema with look-ahead": (
        WHOLE.replace("{type: object}", '{type: object, properties: {a: {pattern: "(?=x)"}}}'),
        ["context_schema.properties.a.pattern must be a valid regular expression without look-around"],
    ),
    "equal keys": (WHOLE + "role: again\n", ["line 27: the key 'role' is repeated; keep one"]),
    "an anchor": (WHOLE.replace("tags: [seo, web]", "tags: &t [seo, web]"), ["line 9: anchors"]),
    "Latin-1": (WHOLE.encode().replace(b"everybody", b"caf\xe9s"), ["line 5: the text is not UTF-8"]),
    "a binary": (b"\x7fELF\x02\x01\x01\x00" + bytes(range(256)), ["not UTF-8"]),
    "UTF-16": (WHOLE.encode("utf-16"), ["not UTF-8"]),
    "a megabyte and more": (WHOLE + "#" * 1_100_000, ["larger than 1 MiB"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_an_invalid_file_is_reported_and_the_others_are_served(kind: str, folder: Path, write: Write, single: Text) -> None:
    """The message names the line and the field, and says how to correct it."""
    text, words = BROKEN[kind]
    path = write("broken.yaml", text)
    write("sound.yaml", single(7))
    catalogue = read(folder)
    assert [agent.number for agent in catalogue.agents] == [7]
    assert {problem.source for problem in catalogue.problems} == {path}
    messages = "\n".join(problem.message for problem in catalogue.problems)
    assert [word for word in words if word not in messages] == [], messages


def test_every_problem_of_a_file_is_reported_at_once(folder: Path, write: Write) -> None:
    """Up to twenty problems, so that the author can correct them together."""
    write("two.yaml", WHOLE.replace("max_tokens: 100", "max_tokens: 0").replace("name: Technical Auditor", "name: 3"))
    write("many.yaml", "category: x\nrole: x\nprompt: x\nagents: [" + "1," * 50 + "]\n")
    problems = [problem for problem in read(folder).problems if problem.source.name == "two.yaml"]
    assert len(problems) == 2
    many = [problem for problem in read(folder).problems if problem.source.name == "many.yaml"]
    assert len(many) == 21
    assert "30 or more" in many[-1].message


@pytest.mark.parametrize(
    "text", ["", "{", '{"a": 1, "a": 1}', '["x"]', "null", '{"category": "x"}', '{"prompt": "\\ud83d\\ude00", "x": 1}']
)
def test_an_invalid_json_file_is_reported(text: str, folder: Path, write: Write) -> None:
    path = write("broken.json", text)
    catalogue = read(folder)
    assert len(catalogue) == 0
    assert {problem.source for problem in catalogue.problems} == {path}


def test_links_and_special_files_are_handled(folder: Path, write: Write, single: Text, tmp_path: Path) -> None:
    """Links to files and folders are followed and a loop ends; a dangling link and a device are problems."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "one.yaml").write_text(single(1))
    (tmp_path / "two.yaml").write_text(single(2))
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "again").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    (folder / "two.yaml").symlink_to(tmp_path / "two.yaml")
    (folder / "gone.yaml").symlink_to(tmp_path / "gone.yaml")
    (folder / "self.yaml").symlink_to(folder / "self.yaml")
    (folder / "self").symlink_to(folder / "self")
    os.mkfifo(folder / "pipe.yaml")
    catalogue = read(folder)
    assert [agent.number for agent in catalogue.agents] == [1, 2]
    messages = {problem.source.name: problem.message for problem in catalogue.problems}
    assert messages.keys() == {"gone.yaml", "self.yaml", "pipe.yaml"}
    assert "no such file" in messages["gone.yaml"]
    assert "not a regular file" in messages["pipe.yaml"]


def test_an_unreadable_file_is_reported_and_keeps_its_agents(single: Text) -> None:
    """For a file and a folder without read permission. Root may read anything, so an unprivileged process reads them."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        for number in (1, 2, 3):
            path = Path(place, f"{number}", f"{number}.yaml")
            path.parent.mkdir()
            path.write_text(single(number))
        script = dedent("""\
            import os, sys
            from pathlib import Path
            from catalogue.files.reader import read
            folder = Path(sys.argv[1])
            before = read(folder)
            (folder / "1" / "1.yaml").write_text("changed")
            os.chmod(folder / "1" / "1.yaml", 0)
            os.chmod(folder / "2", 0)
            if os.geteuid() == 0:
                os.setuid(65534)
            after = read(folder, before)
            os.write(1, repr(([agent.number for agent in after.agents], [str(problem) for problem in after.problems])).encode())
        """)
        done = subprocess.run([sys.executable, "-c", script, place], capture_output=True, text=True, timeout=30, check=False)
        os.chmod(Path(place, "2"), 0o755)
        numbers, problems = ast.literal_eval(done.stdout)
        assert numbers == [1, 2, 3]
        assert problems == [
            f"{place}/2: this folder cannot be read: permission denied; correct its permissions, or remove it",
            f"{place}/1/1.yaml: the file cannot be read: permission denied; correct its permissions or the link, or remove it",
        ]


def test_an_empty_folder_is_an_empty_catalogue(folder: Path) -> None:
    """It is not an error."""
    assert read(folder) == Catalogue()


def test_a_missing_folder_is_refused_with_its_path(folder: Path, write: Write, single: Text) -> None:
    """Also a file in place of the folder."""
    with pytest.raises(DefinitionsUnreadable, match=r"nowhere' cannot be read: no such file or directory; set DEFINITIONS_PATH"):
        read(folder / "nowhere")
    with pytest.raises(DefinitionsUnreadable, match="not a directory"):
        read(write("x.yaml", single()))


def test_a_revision_changes_with_the_content_and_not_with_the_form(folder: Path, write: Write) -> None:
    """Comments, order and the path of the file are form; every value is content."""

    def revisions(text: str, name: str = "x.yaml") -> list[str]:
        path = write(name, text)
        found = [agent.revision for agent in read(folder).agents]
        path.unlink()
        return found

    before = revisions(WHOLE)
    assert revisions("# a comment\n" + WHOLE, "sub/other.yml") == before
    assert revisions(WHOLE.replace("model: claude-opus-5-5\nmax_tokens: 2048\n", "max_tokens: 2048\nmodel: claude-opus-5-5\n")) == before
    assert revisions(WHOLE.replace("    number: 41\n", "")) == before
    for old, new in [("You are", "Be"), ("[url]", "[uri]"), ("2048", "2049"), ("an SEO", "a SEO"), ("claude-opus-5-5", "claude-opus-5")]:
        assert revisions(WHOLE.replace(old, new))[0] != before[0]
    only_the_builder = revisions(WHOLE.replace("Builds links.", "Builds many links."))
    assert only_the_builder[0] == before[0]
    assert only_the_builder[1] != before[1]
