import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { MantineProvider, Title } from "@mantine/core";
import "@mantine/core/styles.css";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no element #root");
createRoot(root).render(
  <StrictMode>
    <MantineProvider defaultColorScheme="auto">
      <Title order={1}>AgentMesh</Title>
    </MantineProvider>
  </StrictMode>,
);
