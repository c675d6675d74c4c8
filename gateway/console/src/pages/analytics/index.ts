export { AnalyticsPage } from "./AnalyticsPage";
