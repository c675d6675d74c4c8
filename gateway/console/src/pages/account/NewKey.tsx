import { Button, Checkbox, Group, Select, TextInput } from "@mantine/core";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { accountService } from "@/api/services/accountService";
import { AccessScope } from "@gen/agentmesh/common/v1/access_pb";
import { randomId } from "@/shared/browser/ids";
import { CopyButton } from "@/shared/ui/CopyButton";
import { ErrorPanel } from "@/shared/ui/ErrorPanel";
import { KEYS } from "./KeysTab";
import { SCOPES } from "./scopes";
import classes from "./Account.module.css";

const LIFETIMES = [
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "1 year" },
  { value: "", label: "Does not expire" },
];
const CHOICES = [AccessScope.READ, AccessScope.EXECUTE, AccessScope.MANAGE];

/** The form for a new key, and then its secret, which is shown only once. */
export function NewKey({ close }: { close: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [scopes, setScopes] = useState<readonly AccessScope[]>([AccessScope.READ, AccessScope.EXECUTE]);
  const [days, setDays] = useState("90");
  const [checked, setChecked] = useState(false);
  const [idempotencyKey, setIdempotencyKey] = useState(randomId);
  const creation = useMutation({
    mutationFn: () =>
      accountService.createApiKey({
        name: name.trim(),
        scopes: [...scopes],
        idempotencyKey,
        ...(days && { expiresAt: timestampFromDate(new Date(Date.now() + Number(days) * 86_400_000)) }),
      }),
    onSuccess: () => queries.invalidateQueries({ queryKey: KEYS }),
    // A changed form after an error is another key.
    onError: () => setIdempotencyKey(randomId()),
  });
  if (creation.data) {
    const { secret } = creation.data;
    return (
      <section className={classes.card} aria-label="The new key">
        <strong>Copy the key now. It is not shown again.</strong>
        <div className={classes.secret}>
          <code>{secret}</code>
          <CopyButton text={secret} what="the key" label="Copy" />
        </div>
        <Button size="compact-sm" variant="default" onClick={close}>
          Done
        </Button>
      </section>
    );
  }
  const problems = {
    name: name.trim() === "" ? "Name the program that will use the key." : undefined,
    scopes: scopes.length === 0 ? "Choose at least one." : undefined,
  };
  return (
    <form
      className={classes.card}
      aria-label="New API key"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        setChecked(true);
        if (!problems.name && !problems.scopes) creation.mutate();
      }}
    >
      <TextInput
        label="Name"
        placeholder="ci pipeline"
        maxLength={100}
        autoFocus
        value={name}
        error={checked && problems.name}
        onChange={(event) => setName(event.currentTarget.value)}
      />
      <Checkbox.Group
        label="It may"
        value={scopes.map(String)}
        error={checked && problems.scopes}
        onChange={(next) => setScopes(CHOICES.filter((scope) => next.includes(String(scope))))}
      >
        {CHOICES.map((scope) => (
          <Checkbox key={scope} mt={6} size="xs" value={String(scope)} label={SCOPES[scope]?.label} description={SCOPES[scope]?.description} />
        ))}
      </Checkbox.Group>
      <Select label="Expires after" w={200} data={LIFETIMES} value={days} allowDeselect={false} onChange={(next) => setDays(next ?? "")} />
      {creation.error && <ErrorPanel error={creation.error} />}
      <Group gap="sm">
        <Button type="submit" size="compact-sm" loading={creation.isPending}>
          Create key
        </Button>
        <Button size="compact-sm" variant="default" onClick={close}>
          Cancel
        </Button>
      </Group>
    </form>
  );
}
