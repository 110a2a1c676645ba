// What the address says of the list of datasets, and of one of them.

export const DATASET_FACETS = [
  'category',
  'venue',
  'kind',
  'resolution',
  'status',
  'delivery',
  'access',
] as const;
export type DatasetFacet = (typeof DATASET_FACETS)[number];

export interface DatasetSearch extends Partial<Record<DatasetFacet, string>> {
  q?: string;
  sort?: string;
  /** Rows of a table instead of cards. */
  view?: 'list';
  /** The first card on screen. */
  at?: number;
}

export const DATASET_SORTS = [
  ['id', 'name'],
  ['-accessed', 'recently used'],
  ['-rows', 'most rows'],
  ['-bytes', 'largest'],
  ['completeness', 'least complete'],
  ['-end', 'newest data'],
  ['start', 'oldest data'],
] as const;

const text = (value: unknown): value is string | number =>
  (typeof value === 'string' && value !== '') || typeof value === 'number';

export function readDatasetSearch(search: Record<string, unknown>): DatasetSearch {
  const found: DatasetSearch = {};
  if (text(search.q)) found.q = String(search.q).slice(0, 200);
  for (const name of DATASET_FACETS) {
    const value = search[name];
    if (text(value)) found[name] = String(value);
  }
  if (DATASET_SORTS.some(([sort]) => sort === search.sort) && search.sort !== 'id')
    found.sort = String(search.sort);
  if (search.view === 'list') found.view = 'list';
  const at = Number(search.at);
  if (Number.isInteger(at) && at > 0) found.at = at;
  return found;
}

export const DATASET_TABS = [
  ['about', 'About'],
  ['schema', 'Schema'],
  ['coverage', 'Coverage'],
  ['quality', 'Quality'],
  ['use', 'Use it'],
  ['lineage', 'Lineage'],
] as const;
export type DatasetTab = (typeof DATASET_TABS)[number][0];

export const isDatasetTab = (value: unknown): value is DatasetTab =>
  DATASET_TABS.some(([name]) => name === value);
