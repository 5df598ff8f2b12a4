-- What scripts work on: functions, triggers, views and policies that make or read session state, and places to write to.
GRANT CREATE ON SCHEMA public TO app;
CREATE SCHEMA one; CREATE SCHEMA two;
GRANT USAGE ON SCHEMA one, two TO app, differ_other;
CREATE TABLE one.here AS SELECT 'one' AS tag;
CREATE TABLE two.here AS SELECT 2 AS tag;
CREATE TABLE public.here AS SELECT 'public' AS tag;
CREATE FUNCTION one.which() RETURNS text LANGUAGE sql AS $$ SELECT 'one' $$;
CREATE FUNCTION two.which() RETURNS text LANGUAGE sql AS $$ SELECT 'two' $$;
CREATE FUNCTION public.which() RETURNS text LANGUAGE sql AS $$ SELECT 'public' $$;
CREATE TABLE public.rows (id int PRIMARY KEY, value text);
CREATE SEQUENCE public.numbers;
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');

-- State that is made where no statement shows it.
CREATE FUNCTION public.sets(name text, value text, is_local boolean) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RETURN set_config(name, value, is_local); END $$;
CREATE FUNCTION public.sets_by_sql(value text) RETURNS text LANGUAGE sql AS
  $$ SELECT set_config('app.tenant', value, false) $$;
CREATE FUNCTION public.sets_inside() RETURNS text LANGUAGE plpgsql SET work_mem = '7MB' AS
  $$ BEGIN RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION public.becomes(role text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('SET ROLE %I', role); END $$;
CREATE FUNCTION public.makes_temporary() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS made (n int); END $$;
CREATE FUNCTION public.locks(key bigint) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM pg_advisory_lock(key); END $$;
CREATE FUNCTION public.listens(channel text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('LISTEN %I', channel); END $$;
CREATE FUNCTION public.harmless(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n + 1; END $$;
CREATE FUNCTION public.tells(words text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN RAISE NOTICE '%', words; END $$;
CREATE FUNCTION public.fails() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE 'as asked'; END $$;
CREATE PROCEDURE public.proceeds(value text) LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.tenant', value, false); COMMIT; END $$;
CREATE TABLE public.triggered (value text);
CREATE FUNCTION public.on_insert() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.tenant', NEW.value, false); RETURN NEW; END $$;
CREATE TRIGGER triggered BEFORE INSERT ON public.triggered FOR EACH ROW EXECUTE FUNCTION public.on_insert();
CREATE VIEW public.tenant AS SELECT nullif(current_setting('app.tenant', true), '') AS tenant;
CREATE TABLE public.guarded AS SELECT n AS id, chr(96 + n) AS tenant FROM generate_series(1, 3) n;
ALTER TABLE public.guarded ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON public.guarded USING (tenant = current_setting('app.tenant', true));

-- Row-level security that makes state, and triggers of each kind: deferred, of statements, behind a foreign key, local.
CREATE FUNCTION public.sees(tenant text) RETURNS boolean LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.other', tenant, false); RETURN tenant = current_setting('app.tenant', true); END $$;
CREATE TABLE public.watched AS SELECT n AS id, chr(96 + n) AS tenant FROM generate_series(1, 3) n;
ALTER TABLE public.watched ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.watched FORCE ROW LEVEL SECURITY;
CREATE POLICY looks ON public.watched USING (sees(tenant)) WITH CHECK (tenant = current_setting('app.tenant', true));
CREATE FUNCTION public.on_change() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.other', TG_OP || coalesce(TG_ARGV[0], ''), false); RETURN NULL; END $$;
CREATE FUNCTION public.on_change_local() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('app.other', TG_OP, true); RETURN NULL; END $$;
CREATE FUNCTION public.on_change_memory() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN SET work_mem = '5MB'; RETURN NULL; END $$;
CREATE TABLE public.late (value text);
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON public.late DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION public.on_change('late');
CREATE TABLE public.counted (value text);
CREATE TRIGGER counted AFTER INSERT OR DELETE ON public.counted FOR EACH STATEMENT
  EXECUTE FUNCTION public.on_change('counted');
CREATE TABLE public.parent (id int PRIMARY KEY);
CREATE TABLE public.child (id int REFERENCES public.parent ON DELETE CASCADE);
CREATE TRIGGER child AFTER DELETE ON public.child FOR EACH ROW EXECUTE FUNCTION public.on_change('child');
CREATE TABLE public.passing (value text);
CREATE TRIGGER passing AFTER INSERT ON public.passing FOR EACH ROW EXECUTE FUNCTION public.on_change_local();
CREATE TABLE public.remembered (value text);
CREATE TRIGGER remembered AFTER INSERT ON public.remembered FOR EACH ROW EXECUTE FUNCTION public.on_change_memory();
CREATE TABLE public.filled (id int, tenant text DEFAULT public.sets_by_sql('default'));
CREATE VIEW public.seen_by AS SELECT public.sets_by_sql('view') AS tenant;
CREATE TABLE public.ruled (value text);
CREATE RULE ruled AS ON INSERT TO public.ruled DO ALSO SELECT set_config('app.tenant', NEW.value, false);

GRANT SELECT ON ALL TABLES IN SCHEMA public, one, two TO app, differ_other;
GRANT INSERT, UPDATE, DELETE ON public.rows, public.triggered, public.watched, public.late, public.counted,
  public.parent, public.child, public.passing, public.remembered, public.filled, public.ruled TO app;
GRANT USAGE ON SEQUENCE public.numbers TO app;

-- As before the first script. Rows are deleted, since TRUNCATE makes new files each time; no trigger and no rule sees it.
-- Where the order of rows decides what a policy does last, they are written anew.
CREATE FUNCTION public.clean() RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE made record;
BEGIN
  FOR made IN SELECT oid::regclass AS name FROM pg_class
              WHERE relowner = 'app'::regrole AND relkind = 'r' AND relpersistence <> 't' LOOP
    EXECUTE format('DROP TABLE %s CASCADE', made.name);
  END LOOP;
  IF (SELECT count(*) FILTER (WHERE value = 'row ' || id) <> 9 OR count(*) <> 9 FROM public.rows) THEN
    DELETE FROM public.rows;
    INSERT INTO public.rows SELECT n, 'row ' || n FROM generate_series(1, 9) n;
  END IF;
  IF (SELECT count(*) FILTER (WHERE tenant = chr(96 + id)) <> 3 OR count(*) <> 3 FROM public.watched) THEN
    TRUNCATE public.watched;
    INSERT INTO public.watched SELECT n, chr(96 + n) FROM generate_series(1, 3) n;
  END IF;
  DELETE FROM public.triggered;
  DELETE FROM public.late;
  DELETE FROM public.counted;
  DELETE FROM public.passing;
  DELETE FROM public.remembered;
  DELETE FROM public.filled;
  DELETE FROM public.ruled;
  IF (SELECT count(*) <> 9 FROM public.child) OR (SELECT count(*) <> 9 FROM public.parent) THEN
    DELETE FROM public.child;
    DELETE FROM public.parent;
    INSERT INTO public.parent SELECT generate_series(1, 9);
    INSERT INTO public.child SELECT generate_series(1, 9);
  END IF;
  IF (SELECT is_called FROM public.numbers) THEN PERFORM setval('public.numbers', 1, false); END IF;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END $$;
