-- Rows of these tables are written once. house_append_only() guards any table it is put on.
create function house_append_only() returns trigger language plpgsql as $$
begin
  if tg_op = 'TRUNCATE' and current_database() like 'test\_%' then
    return null;
  end if;
  raise exception '% is append-only: % refused', tg_table_name, tg_op using errcode = 'KA403';
end $$;

create trigger core_auditentry_append before update or delete on core_auditentry
  for each row execute function house_append_only();
create trigger core_auditentry_keep before truncate on core_auditentry
  for each statement execute function house_append_only();

-- The cache used when there is no Redis (the columns are Django's DatabaseCache's).
create table core_cache (
  cache_key varchar(255) not null primary key,
  value text not null,
  expires timestamptz not null);
create index core_cache_expires on core_cache (expires);

-- Counters of tries. Unlogged: after a crash everybody starts a new window, and nothing else is lost.
create unlogged table core_throttle (
  name varchar(200) not null primary key,
  slot bigint not null,
  hits integer not null,
  at timestamptz not null default clock_timestamp()) with (fillfactor = 70);
