import { memo, useMemo } from "react";
import ReactMarkdown, { type Components } from "react-markdown";
import rehypeSanitize from "rehype-sanitize";
import remarkGfm from "remark-gfm";

import { CopyButton } from "../ui/CopyButton";
import { splitBlocks } from "./blocks";

const COMPONENTS: Components = {
  // An answer may link anywhere: it opens apart, and the other page learns nothing about this one.
  a: ({ href, children }) => (
    <a href={href} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  ),
  // Images would be loaded from other hosts, which tells them who reads the answer.
  img: ({ alt }) => <span className="dim">[image: {alt || "without a description"}]</span>,
  table: ({ children }) => (
    <div data-scroll tabIndex={0} role="group" aria-label="Table">
      <table>{children}</table>
    </div>
  ),
  pre: ({ children, node }) => (
    <div data-code>
      <CopyButton text={textOf(node)} what="the code" />
      <pre tabIndex={0}>{children}</pre>
    </div>
  ),
};

const Block = memo(function Block({ source }: { source: string }) {
  return (
    <ReactMarkdown remarkPlugins={[remarkGfm]} rehypePlugins={[rehypeSanitize]} components={COMPONENTS}>
      {source}
    </ReactMarkdown>
  );
});

export default function Rendered({ source }: { source: string }) {
  const blocks = useMemo(() => splitBlocks(source), [source]);
  // Blocks only change at the end, so their position identifies them.
  return blocks.map((block, index) => <Block key={index} source={block} />);
}

interface TextNode {
  type?: string;
  value?: unknown;
  children?: readonly TextNode[];
}

function textOf(node: unknown): string {
  const { value, children } = (node ?? {}) as TextNode;
  if (typeof value === "string") return value;
  return (children ?? []).map(textOf).join("");
}
