#include "proxy/session/postgres/catalog_scan.hpp"

namespace dbproxy::session::postgres {
namespace {

// search_path: nobody's operators or functions instead of the catalogue's. SQL_ASCII: names and sources are sent as
// they are stored, so that nothing can fail to be converted.
constexpr std::string_view kSettings = R"sql(
SET LOCAL search_path = pg_catalog;
SET LOCAL client_encoding = 'SQL_ASCII';
SET LOCAL statement_timeout = '15s';
SET LOCAL jit = off;
)sql";

// Changes with whatever the scan reads: objects by the transaction that wrote them, relations by name. FirstNormal-
// ObjectId is 16384: what is below comes with the server.
constexpr std::string_view kFingerprint = R"sql(
WITH RECURSIVE mark (h) AS MATERIALIZED (
  SELECT count(*) || ':' || coalesce(sum(hashtextextended(v, 0)), 0) FROM (
    SELECT 'p' || oid || '.' || xmin FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT 'w' || oid || '.' || xmin FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT 't' || oid || '.' || xmin FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'y' || oid || '.' || xmin FROM pg_policy
    UNION ALL SELECT 'd' || oid || '.' || xmin FROM pg_attrdef
    UNION ALL SELECT 'c' || oid || '.' || xmin FROM pg_constraint WHERE contype IN ('c', 'f') AND oid >= 16384
    UNION ALL SELECT 'o' || oid || '.' || xmin FROM pg_operator WHERE oid >= 16384
    UNION ALL SELECT 'k' || oid || '.' || xmin FROM pg_cast WHERE oid >= 16384
    UNION ALL SELECT 'a' || oid || '.' || xmin FROM pg_amproc WHERE oid >= 16384
    UNION ALL SELECT 'e' || oid || '.' || xmin FROM pg_event_trigger
    UNION ALL SELECT 'x' || oid || '.' || xmin FROM pg_extension
    UNION ALL SELECT 'n' || oid || '.' || typname || xmin FROM pg_type WHERE typtype IN ('d', 'r') AND oid >= 16384
    UNION ALL SELECT 'i' || inhrelid || '.' || inhparent FROM pg_inherits
    UNION ALL SELECT 'r' || oid || '.' || relname FROM pg_class
      WHERE relkind IN ('r', 'v', 'm', 'p', 'f', 'c') AND relpersistence <> 't' AND oid >= 16384
  ) AS objects (v)
))sql";

// Nodes are called f (function), r (relation), t (domain) and their oid; b is everything dangerous that comes with the
// server. Rows: kind, node, other node, name, what, source.
constexpr std::string_view kScan = R"sql(, danger (oid, name) AS MATERIALIZED (
  SELECT oid, proname FROM pg_proc WHERE oid < 16384 AND (proname IN (
    'set_config', 'setseed', 'pg_advisory_lock', 'pg_advisory_lock_shared', 'pg_try_advisory_lock',
    'pg_try_advisory_lock_shared', 'pg_create_logical_replication_slot', 'pg_create_physical_replication_slot',
    'pg_copy_logical_replication_slot', 'pg_copy_physical_replication_slot', 'pg_replication_origin_session_setup',
    'pg_start_backup', 'pg_backup_start', 'ts_stat', 'ts_rewrite') OR proname ~ '^[a-z]+_to_xml')
), pattern (re) AS MATERIALIZED (
  SELECT ':(funcid (' || string_agg(oid::text, '|') || ')|relid ' || 'pg_settings'::regclass::oid || ')[^0-9]'
  FROM danger
), served (oid) AS MATERIALIZED (
  SELECT unnest(ARRAY[oprcode, oprrest, oprjoin]::oid[]) FROM pg_operator WHERE oid >= 16384
  UNION SELECT castfunc FROM pg_cast WHERE oid >= 16384
  UNION SELECT amproc::oid FROM pg_amproc WHERE oid >= 16384
  UNION SELECT unnest(ARRAY[rngcanonical, rngsubdiff]::oid[]) FROM pg_range WHERE rngtypid >= 16384
  UNION SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn, aggmtransfn,
                            aggminvtransfn, aggmfinalfn]::oid[]) FROM pg_aggregate WHERE aggfnoid >= 16384
), functions AS MATERIALIZED (
  SELECT p.oid, p.proname, p.prokind, p.prosecdef, p.proargdefaults::text AS defaults, l.lanname,
    CASE WHEN l.lanname IN ('sql', 'plpgsql') THEN p.prosrc END AS source,
    CASE WHEN l.lanname = 'sql' AND p.prosrc = '' THEN to_jsonb(p) ->> 'prosqlbody' END AS tree
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
  WHERE p.oid >= 16384 AND (l.lanname NOT IN ('c', 'internal') OR p.prokind = 'a' OR NOT (
    p.prorettype IN ('internal'::regtype, 'cstring'::regtype, 'language_handler'::regtype, 'fdw_handler'::regtype,
                     'index_am_handler'::regtype, 'table_am_handler'::regtype, 'tsm_handler'::regtype)
    OR 'internal'::regtype = ANY (p.proargtypes) OR 'cstring'::regtype = ANY (p.proargtypes)
    OR p.oid IN (SELECT oid FROM served)
    OR (p.proname NOT IN ('set_limit', 'isn_weak') AND EXISTS (
      SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' AND x.extname IN (
        'plpgsql', 'pg_trgm', 'btree_gin', 'btree_gist', 'citext', 'hstore', 'intarray', 'intagg', 'ltree', 'cube',
        'earthdistance', 'seg', 'isn', 'lo', 'uuid-ossp', 'pgcrypto', 'unaccent', 'fuzzystrmatch', 'tcn', 'refint',
        'autoinc', 'insert_username', 'moddatetime', 'pageinspect', 'pgstattuple', 'pg_stat_statements',
        'pg_buffercache', 'pg_freespacemap', 'pg_visibility', 'pg_walinspect', 'pg_prewarm', 'pgrowlocks', 'amcheck',
        'bloom', 'dict_int', 'dict_xsyn', 'tsm_system_rows', 'tsm_system_time', 'sslinfo', 'postgres_fdw', 'file_fdw',
        'vector', 'postgis', 'postgis_raster', 'postgis_sfcgal', 'address_standardizer', 'pgrouting', 'timescaledb',
        'pgaudit', 'pg_cron', 'pg_repack', 'rum', 'h3', 'pg_uuidv7', 'pgvectorscale', 'ip4r', 'hll', 'semver')))))
), suspects (oid) AS MATERIALIZED (
  SELECT oid FROM functions UNION ALL SELECT oid FROM danger
), owned (classid, objid, node, tree) AS MATERIALIZED (
  SELECT 'pg_rewrite'::regclass::oid, w.oid, 'r' || w.ev_class, concat(w.ev_action, w.ev_qual) FROM pg_rewrite w
    WHERE w.oid >= 16384
  UNION ALL SELECT 'pg_policy'::regclass, y.oid, 'r' || y.polrelid, concat(y.polqual, y.polwithcheck)
    FROM pg_policy y
  UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, 'r' || d.adrelid, d.adbin::text FROM pg_attrdef d
  UNION ALL SELECT 'pg_trigger'::regclass, t.oid, 'r' || t.tgrelid, t.tgqual::text FROM pg_trigger t
    WHERE NOT t.tgisinternal AND t.tgenabled <> 'D'
  UNION ALL SELECT 'pg_constraint'::regclass, c.oid,
      CASE WHEN c.conrelid <> 0 THEN 'r' || c.conrelid ELSE 't' || c.contypid END, c.conbin::text
    FROM pg_constraint c WHERE c.contype = 'c' AND c.oid >= 16384
  UNION ALL SELECT 'pg_type'::regclass, t.oid, 't' || t.oid, t.typdefaultbin::text FROM pg_type t
    WHERE t.typtype = 'd' AND t.oid >= 16384
  UNION ALL SELECT 'pg_proc'::regclass, f.oid, 'f' || f.oid, concat(f.tree, f.defaults) FROM functions f
), edges (node, other) AS MATERIALIZED (
  SELECT DISTINCT o.node, CASE d.refclassid WHEN 'pg_proc'::regclass THEN 'f' WHEN 'pg_class'::regclass THEN 'r'
                                            ELSE 't' END || d.refobjid
    FROM owned o JOIN pg_depend d ON d.classid = o.classid AND d.objid = o.objid
    WHERE d.refobjid >= 16384 AND d.deptype <> 'e' AND (d.refclassid = 'pg_proc'::regclass
      OR (d.refclassid = 'pg_class'::regclass
          AND o.classid IN ('pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass))
      OR (d.refclassid = 'pg_type'::regclass AND EXISTS (
            SELECT FROM pg_type t WHERE t.oid = d.refobjid AND t.typtype = 'd')))
  UNION SELECT o.node, 'b' FROM owned o WHERE o.tree ~ (SELECT re FROM pattern)
  UNION SELECT 'r' || d.objid, 't' || d.refobjid FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid
    WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_type'::regclass
      AND t.typtype = 'd' AND t.oid >= 16384
  UNION SELECT 'r' || c.confrelid, 'r' || c.conrelid FROM pg_constraint c
    WHERE c.contype = 'f'
      AND (c.confdeltype IN ('c', 'n', 'd') OR c.confupdtype IN ('c', 'n', 'd'))
), heirs (parent, child) AS (
  SELECT i.inhparent, i.inhrelid FROM pg_inherits i WHERE 'r' || i.inhrelid IN (SELECT node FROM edges)
  UNION SELECT i.inhparent, i.inhrelid FROM heirs h JOIN pg_inherits i ON i.inhrelid = h.parent
), links (node, other) AS MATERIALIZED (
  SELECT node, other FROM edges WHERE node <> other
  UNION SELECT 'r' || parent, 'r' || child FROM heirs
)
SELECT 'g', '', '', h, '', '' FROM mark
UNION ALL SELECT 'd', node, other, '', '', '' FROM links
UNION ALL SELECT 'n', 'r' || c.oid, '', c.relname, '', '' FROM pg_class c
  WHERE 'r' || c.oid IN (SELECT node FROM links)
UNION ALL SELECT 'n', 't' || t.oid, '', t.typname, '', '' FROM pg_type t
  WHERE t.typtype = 'd' AND 't' || t.oid IN (SELECT node FROM links)
UNION ALL SELECT 'n', 'f' || f.oid, '', f.proname,
    CASE WHEN f.prokind <> 'a' AND (f.source IS NULL OR length(f.source) > 500000) THEN 'danger'
         WHEN f.prosecdef THEN 'definer' ELSE '' END,
    CASE WHEN length(f.source) > 500000 THEN '' ELSE coalesce(f.source, '') END FROM functions f
UNION ALL SELECT 'd', 'f' || oid, 'b', '', '', '' FROM danger
UNION ALL SELECT 'x', 'f' || f, '', 'operator ' || oprname, '', ''
  FROM pg_operator, unnest(ARRAY[oprcode, oprrest, oprjoin]::oid[]) AS f
  WHERE oid >= 16384 AND f IN (SELECT oid FROM suspects)
UNION ALL SELECT 'x', 'f' || castfunc, '', 'cast from ' || format_type(castsource, NULL) || ' to ' ||
    format_type(casttarget, NULL), '', '' FROM pg_cast
  WHERE castfunc IN (SELECT oid FROM suspects)
UNION ALL SELECT 'x', 'f' || amproc::oid, '', 'operator family ' || opfname, '', ''
  FROM pg_amproc a JOIN pg_opfamily o ON o.oid = a.amprocfamily
  WHERE amproc IN (SELECT oid FROM suspects)
UNION ALL SELECT 'x', 'f' || f, '', 'range type ' || format_type(rngtypid, NULL), '', ''
  FROM pg_range, unnest(ARRAY[rngcanonical, rngsubdiff]::oid[]) AS f
  WHERE f IN (SELECT oid FROM suspects)
UNION ALL SELECT 'x', 'f' || evtfoid, '', 'event trigger ' || evtname, 'ddl', '' FROM pg_event_trigger
  WHERE evtenabled <> 'D' AND evtevent <> 'login'
)sql";

}  // namespace

std::string catalog_fingerprint_sql() {
  std::string sql(kSettings);
  sql += kFingerprint;
  return sql += " SELECT 'g', '', '', h, '', '' FROM mark";
}

std::string catalog_scan_sql() {
  std::string sql(kSettings);
  sql += kFingerprint;
  return sql += kScan;
}

}  // namespace dbproxy::session::postgres
