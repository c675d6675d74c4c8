import { ActionIcon, Button, Menu, TextInput } from "@mantine/core";
import { IconBookmark, IconTrash } from "@tabler/icons-react";
import { useState } from "react";

import { useAuth } from "@/auth/AuthContext";
import { useStored } from "@/shared/useStored";
import type { DashboardSearch } from "./filters";
import classes from "./Dashboard.module.css";

interface SavedView {
  name: string;
  search: DashboardSearch;
}

/** Filters that the user has named, kept in this browser. */
export function SavedViews({ search, open }: { search: DashboardSearch; open: (search: DashboardSearch) => void }) {
  const { user } = useAuth();
  const [views, setViews] = useStored<SavedView[]>(`views.${user?.userId ?? 0}`, []);
  const [name, setName] = useState("");
  const save = () => {
    const given = name.trim();
    if (!given) return;
    setViews([...views.filter((view) => view.name !== given), { name: given, search }]);
    setName("");
  };
  return (
    <Menu position="bottom-end" width={280} trapFocus closeOnItemClick>
      <Menu.Target>
        <Button size="compact-sm" variant="default" leftSection={<IconBookmark size={14} />}>
          Views
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {views.length === 0 && <Menu.Label>Save the filters that you use often.</Menu.Label>}
        {views.map((view) => (
          <div key={view.name} className={classes.view}>
            <Menu.Item onClick={() => open(view.search)}>{view.name}</Menu.Item>
            <ActionIcon
              variant="subtle"
              color="gray"
              aria-label={`Forget the view ${view.name}`}
              onClick={() => setViews(views.filter((each) => each.name !== view.name))}
            >
              <IconTrash size={14} />
            </ActionIcon>
          </div>
        ))}
        <Menu.Divider />
        <form
          className={classes.save}
          onSubmit={(event) => {
            event.preventDefault();
            save();
          }}
        >
          <TextInput
            size="xs"
            aria-label="Name of the view"
            placeholder="Name these filters"
            maxLength={60}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
            onKeyDown={(event) => event.stopPropagation()}
          />
          <Button size="compact-sm" type="submit" disabled={name.trim() === ""}>
            Save
          </Button>
        </form>
      </Menu.Dropdown>
    </Menu>
  );
}
