-- What the other projects need to begin: an account of django-hordak with money, and a token of Django REST
-- framework, for every customer. Hordak's own triggers would renumber its whole tree for each account.
create function bench.open_peers(p_customers bigint[], p_funds numeric) returns void
language plpgsql set session_replication_role = replica as $$
declare opening bigint;
begin
  insert into hordak_account (id, uuid, name, type, is_bank_account, currencies, lft, rght, tree_id, level)
    select c, gen_random_uuid(), 'customer ' || c, 'LI', false, '["EUR"]', 1, 2, c, 0 from unnest(p_customers) c;
  insert into hordak_account (id, uuid, name, type, is_bank_account, currencies, lft, rght, tree_id, level)
    select max(id) + 1, gen_random_uuid(), 'capital', 'AS', false, '["EUR"]', 1, 2, max(id) + 1, 0 from hordak_account;
  insert into hordak_transaction (uuid, timestamp, date, description)
    values (gen_random_uuid(), now(), now(), 'opening') returning id into opening;
  insert into hordak_leg (uuid, transaction_id, account_id, currency, credit, debit, description)
    select gen_random_uuid(), opening, c, 'EUR', p_funds, null, '' from unnest(p_customers) c
    union all
    select gen_random_uuid(), opening, a.id, 'EUR', null, p_funds * cardinality(p_customers), ''
      from hordak_account a where a.type = 'AS';
  insert into authtoken_token (key, created, user_id)
    select lpad(c::text, 40, '0'), now(), c from unnest(p_customers) c;
end $$;
