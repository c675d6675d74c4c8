export { AuditPage } from "./AuditPage";
export { UsersPage } from "./UsersPage";
