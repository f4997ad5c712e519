//! What Jeton trusts on its own machine: a data directory that no other user controls, and keys
//! that no other user can read. Users are 65534 and 65533 here, which needs root.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Output},
};

use crate::support::{
    Database, Kind,
    binary::{Served, complaint, jeton, run, run_json},
    tls::Files,
};

/// The user of the service, and another one.
const SERVICE: u32 = 65_534;
const OTHER: u32 = 65_533;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `jeton`, run by this user.
fn jeton_as(user: u32) -> Command {
    let mut command = jeton();
    command.uid(user).gid(user).current_dir("/");
    command
}

fn run_as(user: u32, arguments: &[&str], database: &Database) -> Output {
    jeton_as(user).args(arguments).args(database.flags()).output().unwrap()
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Whether the command was refused because of the data directory, with what to do.
fn assert_untrusted(output: &Output, advice: &str) {
    let said = complaint(output);
    assert!(said.contains("data directory cannot be trusted"), "{said}");
    assert!(said.contains(advice) && said.contains("--data-dir"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_others_can_write_to_is_refused_and_a_new_one_inside_it_is_not() {
    let database = Database::ready(Kind::Sqlite).await;
    let folder = database.dir.path();
    for mode in [0o777, 0o1777, 0o757] {
        set_mode(folder, mode);
        for arguments in [&["serve"][..], &["client", "list"], &["migrate"], &["backup", "b"]] {
            assert_untrusted(&run(arguments, &database), "chmod 700");
        }
    }
    let inside = folder.join("inside");
    let output = jeton().args(["migrate", "--data-dir"]).arg(&inside).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::metadata(inside).unwrap().mode() & 0o777, 0o700);
    for mode in [0o700, 0o755] {
        set_mode(folder, mode);
        run_json(&["client", "list"], &database);
    }
}

/// As a volume of Kubernetes with `fsGroup` is.
#[tokio::test(flavor = "multi_thread")]
async fn the_group_may_write_to_a_directory_of_root_and_to_no_other() {
    if !is_root() {
        return;
    }
    let database = Database::ready(Kind::Sqlite).await;
    let folder = database.dir.path();
    fs::remove_file(folder.join("jeton.db")).unwrap();
    for name in ["jeton.lock", "jeton.migrate-lock", "jeton.db-wal", "jeton.db-shm"] {
        let _ = fs::remove_file(folder.join(name));
    }
    chown(folder, Some(0), Some(SERVICE)).unwrap();
    set_mode(folder, 0o2770);
    let node = Served::start_as(&mut jeton_as(SERVICE), &database, &["--tls-self-signed"]);
    drop(node);
    chown(folder, Some(SERVICE), Some(SERVICE)).unwrap();
    assert_untrusted(&run_as(SERVICE, &["client", "list"], &database), "chmod 700");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_another_user_is_refused() {
    if !is_root() {
        return;
    }
    let database = Database::ready(Kind::Sqlite).await;
    let folder = database.dir.path();
    chown(folder, Some(OTHER), Some(OTHER)).unwrap();
    set_mode(folder, 0o755);
    for arguments in [&["serve"][..], &["client", "list"], &["migrate"]] {
        let output = run_as(SERVICE, arguments, &database);
        assert_untrusted(&output, "belongs to user 65533");
    }
}

/// A node serves what it finds, so root must not find it at somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_an_attacker_is_not_served() {
    if !is_root() {
        return;
    }
    let planted = Database::new(Kind::Sqlite).await;
    let folder = planted.dir.path();
    chown(folder, Some(OTHER), Some(OTHER)).unwrap();
    drop(Served::start_as(&mut jeton_as(OTHER), &planted, &["--tls-self-signed"]));
    let flags = ["--tls-self-signed", "--grpc-addr", "127.0.0.1:0"];
    let output = run(&[&["serve"], &flags[..]].concat(), &planted);
    assert_untrusted(&output, "run this as that user");
    let shim = jeton()
        .args(["shim", "--upstream", "http://127.0.0.1:1", "--tls-self-signed", "--data-dir"])
        .arg(folder)
        .output();
    assert_untrusted(&shim.unwrap(), "run this as that user");
}

/// Root administers a service, whose files stay the service's own.
#[tokio::test(flavor = "multi_thread")]
async fn commands_of_root_leave_nothing_that_the_service_cannot_use() {
    if !is_root() {
        return;
    }
    let database = Database::new(Kind::Sqlite).await;
    let folder = database.dir.path();
    chown(folder, Some(SERVICE), Some(SERVICE)).unwrap();
    let backup = folder.join("b.backup");
    let backup = backup.to_str().unwrap();
    assert!(run(&["migrate"], &database).status.success());
    run_json(&["client", "create", "--client-id", "before"], &database);
    let node = Served::start_as(&mut jeton_as(SERVICE), &database, &["--tls-self-signed"]);
    run_json(&["client", "create", "--client-id", "beside"], &database);
    run_json(&["backup", backup], &database);
    drop(node);
    run_json(&["restore", backup, "--replace"], &database);
    run_json(&["client", "create", "--client-id", "after"], &database);

    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let is_backup = entry.path() == Path::new(backup);
            let owner = entry.metadata().unwrap().uid();
            assert!(is_backup || owner == SERVICE, "{}", entry.path().display());
            if entry.path().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Served::start_as(&mut jeton_as(SERVICE), &database, &["--tls-self-signed"]);
    let listed = run_as(SERVICE, &["client", "list", "--json"], &database);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(["before", "beside", "after"].iter().all(|name| listed.contains(name)), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_a_link_or_belongs_to_another_user_is_refused() {
    let database = Database::ready(Kind::Sqlite).await;
    let file = database.dir.path().join("jeton.db");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(&file, elsewhere.path().join("jeton.db")).unwrap();
    symlink(elsewhere.path().join("jeton.db"), &file).unwrap();
    for arguments in [&["client", "list"][..], &["migrate"], &["serve"]] {
        let said = complaint(&run(arguments, &database));
        assert!(said.contains("jeton.db") && said.contains("symbolic link"), "{said}");
    }
    fs::remove_file(&file).unwrap();
    fs::rename(elsewhere.path().join("jeton.db"), &file).unwrap();
    run_json(&["client", "list"], &database);
    if is_root() {
        chown(&file, Some(OTHER), Some(OTHER)).unwrap();
        let said = complaint(&run(&["client", "list"], &database));
        assert!(said.contains("belongs to user 65533") && said.contains("chown"), "{said}");
    }
}

/// Modes as libpq allows them: those of mounted secrets, and nothing for all others.
#[tokio::test(flavor = "multi_thread")]
async fn a_private_key_that_other_users_can_read_or_replace_is_refused() {
    let (files, database) = (Files::new(), Database::new(Kind::Sqlite).await);
    let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
    let flags = ["--tls-cert", cert.to_str().unwrap(), "--tls-key", key.to_str().unwrap()];
    let refused = |user: u32, mode: u32| {
        set_mode(&key, mode);
        let mut command = if is_root() { jeton_as(user) } else { jeton() };
        let arguments = ["serve", "--http-addr", "127.0.0.1:0"];
        command.args(arguments).args(flags).args(database.flags());
        let said = complaint(&command.output().unwrap());
        for part in ["key.pem", &format!("{mode:04o}"), "chmod 600"] {
            assert!(said.contains(part), "{mode:o}: {part} in {said}");
        }
    };
    let root_or_us = rustix::process::geteuid().as_raw();
    for mode in [0o644, 0o604, 0o660, 0o602, 0o444] {
        refused(root_or_us, mode);
    }
    set_mode(&key, 0o600);
    drop(Served::start(&database, &flags));
    if !is_root() {
        return;
    }
    // Root's own, for the group of the service, as Kubernetes mounts it with fsGroup.
    set_mode(files.dir.path(), 0o755);
    chown(database.dir.path(), Some(SERVICE), Some(SERVICE)).unwrap();
    for entry in fs::read_dir(database.dir.path()).unwrap() {
        chown(entry.unwrap().path(), Some(SERVICE), Some(SERVICE)).unwrap();
    }
    chown(&key, Some(0), Some(SERVICE)).unwrap();
    for mode in [0o440, 0o640] {
        set_mode(&key, mode);
        drop(Served::start_as(&mut jeton_as(SERVICE), &database, &flags));
    }
    // A link to it, as Kubernetes mounts every file of a secret.
    fs::rename(&key, files.path("real.pem")).unwrap();
    symlink(files.path("real.pem"), &key).unwrap();
    drop(Served::start_as(&mut jeton_as(SERVICE), &database, &flags));
    refused(SERVICE, 0o444);
    // The service's own file is for the service alone.
    chown(files.path("real.pem"), Some(SERVICE), Some(SERVICE)).unwrap();
    refused(SERVICE, 0o640);
    set_mode(&key, 0o400);
    drop(Served::start_as(&mut jeton_as(SERVICE), &database, &flags));
}
