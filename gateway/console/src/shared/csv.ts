import { download } from "./browser/download";

export type CsvCell = string | number | bigint | boolean | Date | null | undefined;

/** One column of an export: its heading and the value of a row. */
export interface CsvColumn<Row> {
  heading: string;
  value: (row: Row) => CsvCell;
}

/** CSV as RFC 4180 describes it, with dates in ISO 8601. Cells that a spreadsheet would run as formulas get a leading apostrophe. */
export function toCsv<Row>(columns: readonly CsvColumn<Row>[], rows: readonly Row[]): string {
  const lines = [columns.map((column) => quote(column.heading))];
  for (const row of rows) lines.push(columns.map((column) => quote(render(column.value(row)))));
  return lines.map((cells) => cells.join(",")).join("\r\n") + "\r\n";
}

/** Offers the rows as `<name>-<today>.csv`. */
export function downloadCsv<Row>(name: string, columns: readonly CsvColumn<Row>[], rows: readonly Row[]): void {
  const today = new Date().toISOString().slice(0, 10);
  // The byte order mark makes Excel read UTF-8.
  download(`${name}-${today}.csv`, "\uFEFF" + toCsv(columns, rows), "text/csv;charset=utf-8");
}

function render(cell: CsvCell): string {
  if (cell === null || cell === undefined) return "";
  if (cell instanceof Date) return cell.toISOString();
  if (typeof cell === "string" && /^[=+\-@\t\r]/.test(cell)) return `'${cell}`;
  return String(cell);
}

function quote(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
