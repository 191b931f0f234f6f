import { UPDATED_AT, updatedAtTrigger } from '../sqlite/migrations.ts';
import { MAX_TAG_LENGTH, MAX_TAGS, TAG_FIELDS } from './entry-tags.ts';

/** Whether a row of `entries` may name tags, cheap for those that do not. */
function isTagged(row: string): string {
  const named = [...TAG_FIELDS.keys()].map(
    (field) => `${row}.response_headers LIKE '%"${field}"%'`,
  );
  return `${row}.deleted = 0 AND (${named.join(' OR ')})`;
}

const FIELDS = [...TAG_FIELDS.keys()].map((field) => `'${field}'`).join(', ');
const MARKS = [...TAG_FIELDS].map(([field, mark]) => `WHEN '${field}' THEN '${mark}'`).join(' ');

/** From where the tags of a row of `entries` come, as `tag.value`, in the order of `name.key` and `tag.key`: `readTags` in SQL. */
function tagsIn(row: string): string {
  const value = `json_extract(${row}.response_headers, '$[' || (name.key + 1) || ']')`;
  const text = `json_quote(replace(${value}, char(9), ' '))`;
  const separator = `CASE lower(name.value) ${MARKS} END`;
  return `json_each(${row}.response_headers) AS name,
      json_each('[' || replace(${text}, ${separator}, '","') || ']') AS tag
    WHERE name.key % 2 = 0 AND lower(name.value) IN (${FIELDS})
      AND length(trim(tag.value)) BETWEEN 1 AND ${MAX_TAG_LENGTH}`;
}

const INTO = 'INSERT OR IGNORE INTO entry_tags (nsid, tag, key, variant)';
const FORGET =
  'DELETE FROM entry_tags WHERE nsid = OLD.nsid AND key = OLD.key AND variant = OLD.variant;';

const TAG_NEW = `${INTO}
      SELECT NEW.nsid, trim(tag.value), NEW.key, NEW.variant FROM ${tagsIn('NEW')}
      ORDER BY name.key, tag.key LIMIT ${MAX_TAGS};`;
/**
 * Tags of entries, which follow from the fields that a row has anyway. Triggers of the database keep them, so that whoever writes
 * rows keeps them too: every way in which rows come, and a caje that does not know of tags.
 */
export const TAG_TABLES: string = `
  CREATE TABLE entry_tags (
    nsid INTEGER NOT NULL, tag TEXT NOT NULL, key TEXT NOT NULL, variant TEXT NOT NULL, ${UPDATED_AT},
    PRIMARY KEY (nsid, tag, key, variant)
  ) WITHOUT ROWID;
  CREATE INDEX entry_tags_by_entry ON entry_tags (nsid, key, variant);
  ${updatedAtTrigger('entry_tags', ['nsid', 'tag', 'key', 'variant'])}
  CREATE TRIGGER entries_tagged AFTER INSERT ON entries
  FOR EACH ROW WHEN ${isTagged('NEW')}
  BEGIN
    ${TAG_NEW}
  END;
  CREATE TRIGGER entries_untagged AFTER UPDATE OF response_headers, deleted ON entries
  FOR EACH ROW WHEN (${isTagged('OLD')}) AND NOT (${isTagged('NEW')})
  BEGIN
    ${FORGET}
  END;
  CREATE TRIGGER entries_retagged AFTER UPDATE OF response_headers, deleted ON entries
  FOR EACH ROW WHEN (${isTagged('NEW')}) AND (OLD.response_headers <> NEW.response_headers OR OLD.deleted = 1)
  BEGIN
    ${FORGET}
    ${TAG_NEW}
  END;
  CREATE TRIGGER entries_tags_gone AFTER DELETE ON entries
  FOR EACH ROW WHEN ${isTagged('OLD')}
  BEGIN
    ${FORGET}
  END;
  ${INTO}
    SELECT nsid, tag, key, variant FROM (
      SELECT e.nsid, trim(tag.value) AS tag, e.key, e.variant,
        row_number() OVER (PARTITION BY e.rowid ORDER BY name.key, tag.key) AS number
      FROM entries e, ${tagsIn('e')} AND (${isTagged('e')}))
    WHERE number <= ${MAX_TAGS};`;
