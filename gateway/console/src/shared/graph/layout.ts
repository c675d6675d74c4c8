import { graphlib, layout } from "@dagrejs/dagre";

export interface GraphNode {
  id: string;
  title: string;
  subtitle: string;
  /** Of StatusBadge; colours the edge of the node. */
  tone?: string | undefined;
  /** A word about the state, or about what is wrong. */
  note?: string | undefined;
  dependsOn: readonly string[];
}

export const NODE_WIDTH = 210;
export const NODE_HEIGHT = 62;

/**
 * The upper left corner of each node, in columns from left to right. Depends on the edges alone, so that a change of state moves nothing.
 *
 * The ranker puts what nothing follows into the first column, so it gets the edges in the other direction: tasks that begin at once are
 * then in one column.
 */
export function placesOf(nodes: readonly Pick<GraphNode, "id" | "dependsOn">[]): Map<string, { x: number; y: number }> {
  const graph = new graphlib.Graph();
  graph.setGraph({ rankdir: "RL", ranker: "longest-path", nodesep: 18, ranksep: 54, marginx: 12, marginy: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  const known = new Set(nodes.map(({ id }) => id));
  for (const { id } of nodes) graph.setNode(id, { width: NODE_WIDTH, height: NODE_HEIGHT });
  for (const { id, dependsOn } of nodes) for (const before of dependsOn) if (known.has(before) && before !== id) graph.setEdge(id, before);
  layout(graph);
  return new Map(
    nodes.map(({ id }) => {
      const { x, y } = graph.node(id) as { x: number; y: number };
      return [id, { x: x - NODE_WIDTH / 2, y: y - NODE_HEIGHT / 2 }];
    }),
  );
}
