//! The command line as such: where output goes, what is asked before a change, help, exit status.

mod help;
mod output;
mod secrets;
mod state;

use std::process::{Command, Output, Stdio};

use crate::support::{Database, binary::jeton};

/// Runs `jeton` with these arguments on a terminal of this width, and returns all that it says there.
/// `answer` is typed.
fn on_terminal(arguments: &[&str], database: &Database, columns: u32, answer: &str) -> Output {
    let mut line = format!("stty cols {columns}; exec \"{}\"", env!("CARGO_BIN_EXE_jeton"));
    for argument in arguments.iter().map(ToString::to_string).chain(database.flags()) {
        line.push_str(&format!(" '{argument}'"));
    }
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.env_clear().envs(jeton().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut child = script
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("util-linux has `script`");
    let mut typed = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut typed, answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(typed);
    output
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
