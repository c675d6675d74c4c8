import { Button, Skeleton } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import type { Key, ReactNode } from "react";

import { downloadCsv, type CsvCell } from "../csv";
import classes from "./DataTable.module.css";

export interface Column<Row> {
  key: string;
  heading: string;
  cell: (row: Row) => ReactNode;
  /** The value in the CSV export; columns without one are not exported. */
  csv?: (row: Row) => CsvCell;
  numeric?: boolean;
  width?: number | string;
  /** Left out at phone width. */
  secondary?: boolean;
}

interface DataTableProps<Row> {
  /** What the table lists, for screen readers and the name of the export. */
  label: string;
  columns: readonly Column<Row>[];
  /** Absent while they load: the table then shows placeholders. */
  rows: readonly Row[] | undefined;
  rowKey: (row: Row) => Key;
  /** Shown instead of rows when there are none. */
  empty: ReactNode;
  onRowClick?: (row: Row) => void;
  /** Loads the next page; absent on the last one. */
  loadMore?: (() => void) | undefined;
  loadingMore?: boolean;
  placeholderRows?: number;
}

/** A dense table with placeholders in its final shape. At phone width, secondary columns are left out. */
export function DataTable<Row>(props: DataTableProps<Row>) {
  const { label, columns, rows, rowKey, empty, onRowClick, loadMore, loadingMore, placeholderRows = 8 } = props;
  if (rows?.length === 0) return <div className={classes.frame}>{empty}</div>;
  return (
    <div className={classes.frame}>
      <table className={classes.table} aria-label={label} aria-busy={rows === undefined}>
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.key} scope="col" className={cellClass(column)} style={{ width: column.width }}>
                {column.heading}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows
            ? rows.map((row) => (
                <tr key={rowKey(row)} data-clickable={onRowClick ? true : undefined} onClick={onRowClick && (() => onRowClick(row))}>
                  {columns.map((column) => (
                    <td key={column.key} className={cellClass(column)}>
                      {column.cell(row)}
                    </td>
                  ))}
                </tr>
              ))
            : Array.from({ length: placeholderRows }, (_, index) => (
                <tr key={index}>
                  {columns.map((column, position) => (
                    <td key={column.key} className={cellClass(column)}>
                      <Skeleton height={10} width={`${40 + ((index * 7 + position * 13) % 45)}%`} ml={column.numeric ? "auto" : undefined} />
                    </td>
                  ))}
                </tr>
              ))}
        </tbody>
      </table>
      {loadMore && (
        <div className={classes.more}>
          <Button variant="subtle" color="gray" size="compact-sm" loading={loadingMore ?? false} onClick={loadMore}>
            Show more
          </Button>
        </div>
      )}
    </div>
  );
}

/** Exports the rows that are shown. */
export function ExportButton<Row>({ label, columns, rows }: Pick<DataTableProps<Row>, "label" | "columns" | "rows">) {
  const exported = columns.flatMap(({ heading, csv }) => (csv ? [{ heading, value: csv }] : []));
  return (
    <Button
      variant="default"
      size="compact-sm"
      leftSection={<IconDownload size={14} />}
      disabled={!rows || rows.length === 0}
      onClick={() => rows && downloadCsv(label.toLowerCase().replaceAll(" ", "-"), exported, rows)}
    >
      CSV
    </Button>
  );
}

function cellClass<Row>({ numeric, secondary }: Column<Row>): string {
  return [numeric ? "num" : "", secondary ? classes.secondary : ""].join(" ");
}
