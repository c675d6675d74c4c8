export { ExecutionPage } from "./ExecutionPage";
export { ExecutionsPage } from "./ExecutionsPage";
