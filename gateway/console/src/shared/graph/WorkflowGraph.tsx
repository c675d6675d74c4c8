import { useComputedColorScheme } from "@mantine/core";
import { Background, Controls, Handle, MarkerType, Position, ReactFlow, type Edge, type Node, type NodeProps, type ReactFlowInstance } from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { memo, useEffect, useMemo, useState } from "react";

import { NODE_HEIGHT, NODE_WIDTH, placesOf, type GraphNode } from "./layout";
import classes from "./WorkflowGraph.module.css";

interface WorkflowGraphProps {
  /** What the graph shows, for screen readers. */
  label: string;
  nodes: readonly GraphNode[];
  selected?: string | undefined;
  select: (id: string) => void;
  /** Called when an arrow is drawn from one task to another; without it, the graph cannot be changed. */
  connect?: (from: string, to: string) => void;
  height?: number | string;
}

type TaskNode = Node<{ node: GraphNode }, "task">;

const FIT = { maxZoom: 1, padding: 0.12 };
const NODE_TYPES = { task: memo(TaskCard) };

/** Tasks and what they depend on. Only what is visible is drawn, and a node is drawn again only when it changes. */
export function WorkflowGraph({ label, nodes, selected, select, connect, height = 420 }: WorkflowGraphProps) {
  const scheme = useComputedColorScheme("light");
  const shape = nodes.map(({ id, dependsOn }) => `${id}<${dependsOn.join()}`).join(";");
  const places = useMemo(() => placesOf(nodes), [shape]);
  const [flow, setFlow] = useState<ReactFlowInstance<TaskNode>>();
  // A task or an arrow that is added may lie outside of what is shown; a change of state moves nothing.
  useEffect(() => void flow?.fitView(FIT), [flow, shape]);
  const flowNodes = useMemo<TaskNode[]>(
    () =>
      nodes.map((node) => ({
        id: node.id,
        type: "task",
        position: places.get(node.id) ?? { x: 0, y: 0 },
        width: NODE_WIDTH,
        height: NODE_HEIGHT,
        selected: node.id === selected,
        data: { node },
        ariaLabel: `${node.title}, ${node.subtitle}${node.note ? `, ${node.note}` : ""}`,
      })),
    [nodes, places, selected],
  );
  const edges = useMemo<Edge[]>(() => {
    const known = new Set(nodes.map(({ id }) => id));
    return nodes.flatMap(({ id, dependsOn }) =>
      dependsOn
        .filter((before) => known.has(before))
        .map((before) => ({ id: `${before}>${id}`, source: before, target: id, markerEnd: { type: MarkerType.ArrowClosed, width: 14, height: 14 } })),
    );
  }, [nodes]);
  return (
    <div className={classes.frame} style={{ height }} role="group" aria-label={label}>
      <ReactFlow
        colorMode={scheme}
        nodes={flowNodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        onNodesChange={(changes) => {
          // What a click or the Enter key selects. The selection itself is in the URL.
          for (const each of changes) if (each.type === "select" && each.selected) select(each.id);
        }}
        {...(connect && { onConnect: ({ source, target }: { source: string; target: string }) => connect(source, target) })}
        nodesDraggable={false}
        nodesConnectable={connect !== undefined}
        edgesFocusable={false}
        onlyRenderVisibleElements
        fitView
        fitViewOptions={FIT}
        onInit={setFlow}
        minZoom={0.1}
        proOptions={{ hideAttribution: true }}
      >
        <Background gap={18} size={1} />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  );
}

function TaskCard({ data: { node }, isConnectable }: NodeProps<TaskNode>) {
  return (
    <div className={classes.node} data-tone={node.tone} data-noted={node.note ? true : undefined} data-fixed={isConnectable ? undefined : true}>
      <Handle type="target" position={Position.Left} isConnectable={isConnectable} className={classes.handle} />
      <div className={classes.title}>{node.title}</div>
      <div className={classes.subtitle}>{node.subtitle}</div>
      {node.note && <div className={classes.note}>{node.note}</div>}
      <Handle type="source" position={Position.Right} isConnectable={isConnectable} className={classes.handle} />
    </div>
  );
}
