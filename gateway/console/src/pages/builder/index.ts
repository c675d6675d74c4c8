export { BuilderPage } from "./BuilderPage";
