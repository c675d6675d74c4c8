import { Tabs } from "@mantine/core";
import { getRouteApi } from "@tanstack/react-router";

import { useAuth } from "@/auth/AuthContext";
import { UserRole } from "@gen/agentmesh/identity/v1/identity_pb";
import { Page } from "@/shared/ui/Page";
import { Time } from "@/shared/ui/Time";
import { KeysTab } from "./KeysTab";
import { PasswordTab } from "./PasswordTab";
import { SessionsTab } from "./SessionsTab";
import { UsageTab } from "./UsageTab";

const route = getRouteApi("/app/account");

const TABS = {
  keys: { label: "API keys", content: KeysTab },
  sessions: { label: "Sessions", content: SessionsTab },
  usage: { label: "Usage", content: UsageTab },
  password: { label: "Password", content: PasswordTab },
} as const;
type Tab = keyof typeof TABS;

export function AccountPage() {
  const { user } = useAuth();
  const { tab = "keys" } = route.useSearch();
  const navigate = route.useNavigate();
  const Content = TABS[tab].content;
  return (
    <Page
      title={user?.username ?? "Account"}
      subtitle={
        user && (
          <>
            {user.role === UserRole.ADMIN ? "Administrator" : "User"}, registered <Time at={user.createdAt} />
          </>
        )
      }
    >
      <Tabs
        value={tab}
        onChange={(next) => void navigate({ search: next === "keys" ? {} : { tab: next as Tab }, replace: true })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          {Object.entries(TABS).map(([name, { label }]) => (
            <Tabs.Tab key={name} value={name}>
              {label}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        <Tabs.Panel value={tab}>
          <Content />
        </Tabs.Panel>
      </Tabs>
    </Page>
  );
}
