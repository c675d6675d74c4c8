export { AgentPage } from "./AgentPage";
