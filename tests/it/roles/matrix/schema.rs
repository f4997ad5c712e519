//! What concerns the trail, the upkeep and the schema itself.

use super::{Act, NOBODY, SERVICE};

pub(super) const TRAIL: &[Act] = &[
    ("write the trail", NOBODY, "insert into audit select * from audit"),
    (
        "write it through record_audit",
        NOBODY,
        "select record_audit('client.update', null, null, null, '{}')",
    ),
    ("alter the trail", NOBODY, "update audit set actor = 'operator:else'"),
    ("cut the trail by hand", NOBODY, "delete from audit where seq = 1"),
    ("truncate the trail", NOBODY, "truncate audit"),
    ("drop its protection", NOBODY, "drop trigger audit_is_append_only on audit"),
    ("cut what is old from it", SERVICE, "select cut_audit(90, 1000)"),
];

pub(super) const KEEPING: &[Act] = &[
    ("make partitions", SERVICE, "select make_partitions(now())"),
    ("drop dead partitions", SERVICE, "select drop_dead_partitions(now())"),
    ("forget revocations", SERVICE, "select forget_revocations(now())"),
    ("forget changes", SERVICE, "select forget_changes()"),
    ("mend triggers", SERVICE, "select keep_announcing()"),
    ("say that a partition is lost", NOBODY, "select notice_lost_partitions()"),
    ("say that all is watched", NOBODY, "update token_partition set dead_from = now()"),
    (
        "let a partition be watched",
        NOBODY,
        "select announce_partition_writes(min(inhrelid)::regclass) from pg_inherits
         where inhparent = 'access_token'::regclass",
    ),
    (
        "drop a partition by hand",
        NOBODY,
        "do $$ begin execute (select 'drop table ' || min(inhrelid::regclass::text)
             from pg_inherits where inhparent = 'access_token'::regclass); end $$",
    ),
    ("add a partition by hand", NOBODY, "create table more partition of access_token default"),
    ("change the limits", NOBODY, "alter function upkeep_rules() reset search_path"),
    ("undo what guards functions", NOBODY, "select guard_functions('announce')"),
];

pub(super) const DATABASE: &[Act] = &[
    ("make a table", NOBODY, "create table mine (id int)"),
    ("make a temporary table", NOBODY, "create temporary table client (id uuid, client_id text)"),
    (
        "make a function",
        NOBODY,
        "create function octet_length(text) returns int language sql as 'select 1'",
    ),
    (
        "make an operator",
        NOBODY,
        "create operator || (leftarg = int, rightarg = text, function = concat)",
    ),
    ("make a type", NOBODY, "create domain mine as text"),
    ("make a schema", NOBODY, "create schema mine"),
    ("add a column", NOBODY, "alter table client add column more text"),
    (
        "add a trigger",
        NOBODY,
        "create trigger mine before update on client
         for each row execute function suppress_redundant_updates_trigger()",
    ),
    ("disable triggers", NOBODY, "alter table client disable trigger all"),
    ("suppress triggers", NOBODY, "set local session_replication_role = replica"),
    ("drop a table", NOBODY, "drop table change"),
    ("take a table", NOBODY, "alter table client owner to current_user"),
    ("become the owner", NOBODY, "set local role OWNER"),
    ("log in as the owner", NOBODY, "set local session authorization OWNER"),
    ("join the owner", NOBODY, "grant OWNER to current_user"),
    ("run a program", NOBODY, "copy client_secret to program 'true'"),
    ("read a file", NOBODY, "select pg_read_file('/etc/passwd')"),
];
