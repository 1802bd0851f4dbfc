-- A card keeps what it is; its number is sealed while it is there and gone once it is removed, which is for good.
alter table payment_card_paymentcard add constraint card_number_is_sealed
  check (number = '' or number like 'gAAAA%');
alter table payment_card_cardkey add constraint card_key_is_sealed check (secret like 'gAAAA%');

create function payment_card_laws() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a card is never deleted: it is removed' using errcode = 'KA403';
  end if;
  if tg_op = 'INSERT' then
    if exists (
      select from payment_card_cardban ban where ban.lifted_at is null and (
        ban.fingerprint in (new.fingerprint, new.issuer_fingerprint)
        or (ban.kind = 'issuer' and ban.prefix = new.first6))
    ) then
      raise exception 'a banned card is not added' using errcode = 'KA403';
    end if;
    return new;
  end if;
  if (new.token, new.customer_id, new.fingerprint, new.issuer_fingerprint, new.first6, new.last4, new.length,
      new.scheme, new.owner_name, new.created_at)
     is distinct from
     (old.token, old.customer_id, old.fingerprint, old.issuer_fingerprint, old.first6, old.last4, old.length,
      old.scheme, old.owner_name, old.created_at) then
    raise exception 'a card keeps what it is' using errcode = 'KA403';
  end if;
  if old.removed_at is not null and new is distinct from old then
    raise exception 'a removed card stays as it was' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger payment_card_laws before insert or update or delete on payment_card_paymentcard
  for each row execute function payment_card_laws();

-- A ban keeps what it is about and why; it is lifted once.
create function payment_card_ban_laws() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    raise exception 'a ban is never deleted: it is lifted' using errcode = 'KA403';
  end if;
  if (new.kind, new.fingerprint, new.prefix, new.mask, new.reason, new.banned_by_id, new.banned_by, new.banned_at)
     is distinct from
     (old.kind, old.fingerprint, old.prefix, old.mask, old.reason, old.banned_by_id, old.banned_by, old.banned_at)
     or old.lifted_at is not null then
    raise exception 'a ban keeps what it is about, and is lifted once' using errcode = 'KA403';
  end if;
  return new;
end $$;
create trigger payment_card_ban_laws before update or delete on payment_card_cardban
  for each row execute function payment_card_ban_laws();

-- Another key, and no ban would meet anything. Only its seal is renewed, by the owner.
create function payment_card_key_laws() returns trigger language plpgsql as $$
begin
  raise exception 'the key of fingerprints stays' using errcode = 'KA403';
end $$;
create trigger payment_card_key_laws before delete on payment_card_cardkey
  for each row execute function payment_card_key_laws();
