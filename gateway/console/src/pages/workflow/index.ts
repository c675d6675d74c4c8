export { WorkflowPage } from "./WorkflowPage";
