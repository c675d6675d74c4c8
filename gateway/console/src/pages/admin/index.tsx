import { useAuth } from "@/auth/AuthContext";
import { NoPermission } from "@/shared/ui/ErrorPanel";
import { Page } from "@/shared/ui/Page";

export function UsersPage() {
  const { user, isAdmin } = useAuth();
  if (user && !isAdmin) return <NoPermission what="The list of users" />;
  return <Page title="Users">{null}</Page>;
}

export function AuditPage() {
  const { user, isAdmin } = useAuth();
  if (user && !isAdmin) return <NoPermission what="The audit log" />;
  return <Page title="Audit log">{null}</Page>;
}
