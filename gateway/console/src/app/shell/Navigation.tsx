import { ActionIcon, Kbd, Menu, Tooltip, UnstyledButton } from "@mantine/core";
import {
  IconBuildingStore,
  IconChartAreaLine,
  IconChevronDown,
  IconClipboardList,
  IconDeviceDesktopOff,
  IconLogout,
  IconReceipt,
  IconSearch,
  IconSitemap,
  IconUserCircle,
  IconUsers,
} from "@tabler/icons-react";
import { Link, useNavigate, type LinkProps } from "@tanstack/react-router";
import { lazy, Suspense, type ComponentType } from "react";

import { useAuth } from "@/auth/AuthContext";
import { Logo } from "./Logo";
import classes from "./Navigation.module.css";

const Approvals = lazy(() => import("./Approvals"));

interface Destination {
  to: NonNullable<LinkProps["to"]>;
  label: string;
  icon: ComponentType<{ size?: number; stroke?: number }>;
}

const PLACES: readonly Destination[] = [
  { to: "/marketplace", label: "Marketplace", icon: IconBuildingStore },
  { to: "/dashboard", label: "Workflows", icon: IconSitemap },
  { to: "/executions", label: "Executions", icon: IconReceipt },
  { to: "/analytics", label: "Analytics", icon: IconChartAreaLine },
];

const ADMIN_PLACES: readonly Destination[] = [
  { to: "/admin/users", label: "Users", icon: IconUsers },
  { to: "/admin/audit", label: "Audit log", icon: IconClipboardList },
];

const MOD = /Mac|iPhone|iPad/.test(navigator.userAgent) ? "⌘" : "Ctrl";

export function SideBar({ openPalette }: { openPalette: () => void }) {
  const { isAdmin } = useAuth();
  return (
    <nav className={classes.side} aria-label="Main">
      <Link to="/marketplace" className={classes.brand}>
        <Logo />
        AgentMesh
      </Link>
      <UnstyledButton className={classes.search} onClick={openPalette} aria-keyshortcuts="Meta+K Control+K">
        <IconSearch size={15} aria-hidden />
        <span>Search</span>
        <Kbd size="xs">{MOD} K</Kbd>
      </UnstyledButton>
      <ul className={classes.places}>
        {PLACES.map((place) => (
          <Place key={place.to} {...place} />
        ))}
      </ul>
      {isAdmin && (
        <>
          <div className={classes.group}>Administration</div>
          <ul className={classes.places}>
            {ADMIN_PLACES.map((place) => (
              <Place key={place.to} {...place} />
            ))}
          </ul>
        </>
      )}
      <div className={classes.foot}>
        <Suspense fallback={null}>
          <Approvals placement="side" />
        </Suspense>
        <UserMenu />
      </div>
    </nav>
  );
}

function Place({ to, label, icon: Icon }: Destination) {
  return (
    <li>
      <Link to={to} className={classes.place} activeProps={{ className: `${classes.place} ${classes.active}`, "aria-current": "page" }}>
        <Icon size={17} stroke={1.7} />
        {label}
      </Link>
    </li>
  );
}

/** At phone width, what the side bar has at the top. */
export function TopBar({ openPalette }: { openPalette: () => void }) {
  return (
    <header className={classes.top}>
      <Link to="/marketplace" className={classes.brand}>
        <Logo />
        AgentMesh
      </Link>
      <div className={classes.topActions}>
        <Suspense fallback={null}>
          <Approvals placement="top" />
        </Suspense>
        <Tooltip label="Search">
          <ActionIcon variant="subtle" color="gray" size="lg" onClick={openPalette} aria-label="Search everything">
            <IconSearch size={19} />
          </ActionIcon>
        </Tooltip>
        <UserMenu short />
      </div>
    </header>
  );
}

/** At phone width, the places. */
export function BottomBar() {
  return (
    <nav className={classes.bottom} aria-label="Main">
      {PLACES.map(({ to, label, icon: Icon }) => (
        <Link key={to} to={to} className={classes.tab} activeProps={{ className: `${classes.tab} ${classes.active}`, "aria-current": "page" }}>
          <Icon size={20} stroke={1.7} />
          {label}
        </Link>
      ))}
    </nav>
  );
}

function UserMenu({ short = false }: { short?: boolean }) {
  const { user, isAdmin, logout, logoutEverywhere } = useAuth();
  const navigate = useNavigate();
  const name = user?.username ?? "…";
  return (
    <Menu position={short ? "bottom-end" : "top-start"} width={220} shadow="md">
      <Menu.Target>
        <UnstyledButton className={classes.user} data-short={short || undefined}>
          <span className={classes.avatar} aria-hidden>
            {name.slice(0, 1).toUpperCase()}
          </span>
          {short ? (
            <span className="visually-hidden">Account of {name}</span>
          ) : (
            <>
              <span className="truncate">
                <span className="visually-hidden">Account of </span>
                {name}
              </span>
              <IconChevronDown size={14} aria-hidden />
            </>
          )}
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {name}
          {isAdmin && " · administrator"}
        </Menu.Label>
        <Menu.Item leftSection={<IconUserCircle size={16} />} onClick={() => void navigate({ to: "/account" })}>
          Account and API keys
        </Menu.Item>
        {isAdmin && short && (
          <>
            <Menu.Item leftSection={<IconUsers size={16} />} onClick={() => void navigate({ to: "/admin/users" })}>
              Users
            </Menu.Item>
            <Menu.Item leftSection={<IconClipboardList size={16} />} onClick={() => void navigate({ to: "/admin/audit" })}>
              Audit log
            </Menu.Item>
          </>
        )}
        <Menu.Divider />
        <Menu.Item leftSection={<IconLogout size={16} />} onClick={() => void logout().catch(() => undefined)}>
          Log out
        </Menu.Item>
        <Menu.Item leftSection={<IconDeviceDesktopOff size={16} />} onClick={() => void logoutEverywhere().catch(() => undefined)}>
          Log out everywhere
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
