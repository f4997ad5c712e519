//! Secrets on the command line: written once or not made, and never echoed.

use std::{
    fs::{self, OpenOptions, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use jeton::domain::ClientSecret;

use super::{stderr, stdout};
use crate::support::{
    Database, Kind,
    binary::{complaint, jeton, run, run_json},
    everything,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_made_if_nobody_could_read_it() {
    let database = Database::ready(Kind::Sqlite).await;
    run_json(&["client", "create", "--client-id", "orders"], &database);
    for command in
        [&["client", "create", "--client-id", "a"][..], &["client", "add-secret", "orders"]]
    {
        for json in [&[][..], &["--json"]] {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut to_full = jeton();
            to_full.args(command).args(json).args(database.flags()).stdout(full);
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let mut to_nobody = jeton();
            to_nobody.args(command).args(json).args(database.flags()).stdout(writer);
            for mut command in [to_full, to_nobody] {
                let output = command.output().unwrap();
                assert_eq!(output.status.code(), Some(1), "{output:?}");
                assert!(stderr(&output).contains("nothing was changed"), "{output:?}");
            }
        }
    }
    assert_eq!(run_json(&["client", "list"], &database).as_array().unwrap().len(), 1);
    let shown = run_json(&["client", "show", "orders"], &database);
    assert_eq!(shown["secrets"].as_array().unwrap().len(), 1);
}

/// A file that cannot grow passes every check before. Only Postgres can be used, because the
/// embedded database would be a file as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_was_lost_on_its_way_is_retired() {
    let database = Database::ready(Kind::Postgres).await;
    let file = database.dir.path().join("secret");
    let mut create = Command::new("sh");
    create
        .args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\" > \"$FILE\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_jeton"))
        .args(["client", "create", "--client-id", "orders", "--json"])
        .args(database.flags())
        .env("FILE", &file);
    let output = create.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    for part in ["is lost", "It is retired", "`jeton client add-secret orders`"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(fs::metadata(&file).unwrap().len(), 0);
    let shown = run_json(&["client", "show", "orders"], &database);
    assert_eq!(shown["secrets"][0]["state"], "retired", "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_goes_to_a_file_of_its_owner_in_place_of_standard_output() {
    let database = Database::ready(Kind::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 4] = [
        &["client", "create", "--client-id", "orders"],
        &["client", "add-secret", "orders"],
        &["client", "rotate", "orders"],
        &["client", "add-secret", "orders", "--json"],
    ];
    for (number, command) in commands.into_iter().enumerate() {
        let file = folder.path().join(number.to_string());
        let out = ["--out", file.to_str().unwrap()];
        let made = run(&[command, &out].concat(), &database);
        assert!(made.status.success(), "{made:?}");
        let secret = fs::read_to_string(&file).unwrap();
        everything::note_secrets_in(&secret);
        ClientSecret::parse(secret.strip_suffix('\n').unwrap()).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let said = stdout(&made) + &stderr(&made);
        assert!(!said.contains(&secret[4..20]) && !said.contains("client_secret"), "{said}");
        for part in ["secret_file", file.to_str().unwrap(), "secret_id", "orders"] {
            assert!(said.contains(part), "{part} in {said}");
        }

        // A file is never overwritten, and no secret is made that has no place.
        let again = run(&[&["client", "add-secret", "orders"][..], &out].concat(), &database);
        assert_eq!(again.status.code(), Some(6), "{again:?}");
        assert!(complaint(&again).contains("exists already: name another file"), "{again:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), secret);
    }
    let nowhere = ["client", "add-secret", "orders", "--out", "/nowhere/orders.secret"];
    assert!(complaint(&run(&nowhere, &database)).contains("nothing was changed"));
    let shown = run_json(&["client", "show", "orders"], &database);
    assert_eq!(shown["secrets"].as_array().unwrap().len(), commands.len(), "{shown}");
    // A client that is refused leaves nothing behind.
    let left = folder.path().join("left");
    let taken = ["client", "create", "--client-id", "orders", "--out", left.to_str().unwrap()];
    assert_eq!(run(&taken, &database).status.code(), Some(6));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), commands.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_the_wrong_place_is_not_echoed() {
    let database = Database::ready(Kind::Sqlite).await;
    let created = run_json(&["client", "create", "--client-id", "orders"], &database);
    let secret = created["client_secret"].as_str().unwrap();
    let equals = format!("--label={secret}");
    let rows: [&[&str]; 7] = [
        &["client", "retire-secret", "orders", secret, "--leaked"],
        &["client", "show", secret],
        &["client", "add-secret", "orders", &equals],
        &["audit", "list", "--last", secret],
        &["audit", "verify", "--mark", &secret[..40]],
        &["client", secret],
        &["client", "list", &format!("--{secret}")],
    ];
    for arguments in rows {
        for json in [&[][..], &["--json"]] {
            let output = run(&[arguments, json].concat(), &database);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let said = stderr(&output) + &stdout(&output);
            assert!(!said.contains(&secret[4..20]), "{said}");
            assert!(said.contains("standard input"), "{said}");
        }
    }
    let from_variable = jeton().args(["audit", "list"]).env("JETON_TIMEOUT", secret).output();
    let said = complaint(&from_variable.unwrap());
    assert!(said.contains("JETON_TIMEOUT") && !said.contains(&secret[4..20]), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_taken_only_from_a_file_of_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orders.secret");
    fs::write(&file, "jts_x\n").unwrap();
    for mode in [0o644, 0o640, 0o604] {
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let issue = ["token", "issue", "--client-id", "orders", "--secret-file"];
        let output = jeton().args(issue).arg(&file).output().unwrap();
        let said = complaint(&output);
        // What root owns may be read by its group, as a mounted secret is.
        if mode != 0o640 || !rustix::process::geteuid().is_root() {
            for part in ["orders.secret", "other users have access", "chmod 600"] {
                assert!(said.contains(part), "{part} in {said}");
            }
        }
    }
}
