-- A case moves as kauri/account/states.py lists it, keeps what it is about, and is never deleted.
create function account_case_laws() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a verification case is never deleted' using errcode = 'KA403';
  end if;
  if tg_op = 'INSERT' then
    if new.state <> 'started' then
      raise exception 'a verification case begins as started, not as %', new.state using errcode = 'KA409';
    end if;
    return new;
  end if;
  if (new.public_id, new.user_id, new.level, new.provider_id, new.created_at) is distinct from
     (old.public_id, old.user_id, old.level, old.provider_id, old.created_at)
     or (old.provider_reference <> '' and new.provider_reference <> old.provider_reference) then
    raise exception 'a verification case keeps what it is about' using errcode = 'KA403';
  end if;
  if new.state is distinct from old.state and (old.state, new.state) not in (
    ('started', 'waiting_for_customer'), ('started', 'waiting_for_operator'), ('started', 'expired'),
    ('waiting_for_customer', 'waiting_for_provider'), ('waiting_for_customer', 'waiting_for_operator'),
    ('waiting_for_customer', 'asked_again'), ('waiting_for_customer', 'approved'),
    ('waiting_for_customer', 'rejected'), ('waiting_for_customer', 'expired'),
    ('waiting_for_provider', 'waiting_for_operator'), ('waiting_for_provider', 'asked_again'),
    ('waiting_for_provider', 'approved'), ('waiting_for_provider', 'rejected'),
    ('waiting_for_operator', 'asked_again'), ('waiting_for_operator', 'approved'),
    ('waiting_for_operator', 'rejected'),
    ('asked_again', 'waiting_for_provider'), ('asked_again', 'waiting_for_operator'),
    ('asked_again', 'approved'), ('asked_again', 'rejected'), ('asked_again', 'expired')
  ) then
    raise exception 'a verification case may not go from % to %', old.state, new.state using errcode = 'KA409';
  end if;
  return new;
end $$;
create trigger account_case_laws before insert or update or delete on account_verificationcase
  for each row execute function account_case_laws();

-- No state without its history: at commit a case stands where its last move brought it.
create function account_case_has_history() returns trigger language plpgsql as $$
declare last_state text; now_state text;
begin
  select to_state into last_state from account_verificationmove where case_id = new.id order by id desc limit 1;
  select state into now_state from account_verificationcase where id = new.id;
  if last_state is distinct from now_state then
    raise exception 'verification case %: state % without a move to it', new.public_id, now_state
      using errcode = 'KA409';
  end if;
  return null;
end $$;
create constraint trigger account_case_history after insert or update of state on account_verificationcase
  deferrable initially deferred for each row execute function account_case_has_history();

-- History, answers and documents are written once.
create trigger account_verificationmove_append before update or delete on account_verificationmove
  for each row execute function house_append_only();
create trigger account_verificationmove_keep before truncate on account_verificationmove
  for each statement execute function house_append_only();
create trigger account_verificationanswer_append before update or delete on account_verificationanswer
  for each row execute function house_append_only();
create trigger account_verificationanswer_keep before truncate on account_verificationanswer
  for each statement execute function house_append_only();
create trigger account_verificationdocument_append before update or delete on account_verificationdocument
  for each row execute function house_append_only();
create trigger account_verificationdocument_keep before truncate on account_verificationdocument
  for each statement execute function house_append_only();
