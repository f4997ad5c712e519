-- Two nodes may do upkeep at the same time. Between the moment in which one lists the partitions and
-- the moment in which it watches one of them, the other may drop it as expired. That is no fault: the
-- partition is passed over, where before the whole round of upkeep failed.

create or replace function keep_announcing() returns void
    language plpgsql security definer
    set lock_timeout = '200ms' as $$
declare
    partition regclass;
    quiet record;
begin
    for partition in
        select inhrelid::regclass from pg_inherits
        where inhparent = 'access_token'::regclass and not inhdetachpending
    loop
        begin
            perform announce_partition_writes(partition);
        exception
            -- Somebody writes for long. The next call tries again, and nobody waits behind this.
            when lock_not_available then
            -- It was dropped or detached meanwhile. `announce_partition_writes` raises an exception
            -- of its own for a table that is no partition.
            when undefined_table or undefined_object or raise_exception then
        end;
    end loop;
    for quiet in select * from quiet_triggers() loop
        begin
            execute format(
                'alter table %s enable always trigger %I', quiet.relation, quiet.name);
        exception when lock_not_available or undefined_table or undefined_object then
        end;
    end loop;
end $$;
select guard_functions('^keep_announcing$');
