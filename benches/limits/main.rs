//! The budget: what the product takes beside yardsticks that do only what cannot be left out, all
//! in one run and interleaved, so that whatever else the machine does hits them alike.
//!
//! `cargo bench --bench limits` prints a table, with `-- --json` one object: row number → ratio,
//! low, high, budget. With `-- --growth` the rows 11 instead: ten million tokens on disk, which
//! takes some minutes and 5 GB. With `-- --commits` the rows 3 and 10 alone. The yardsticks:
//! - E: an empty tonic unary of this contract, on tonic's own server and the shared runtime;
//! - H: an empty axum handler that reads the form and answers a fixed JSON;
//! - C: one insert and commit through the same driver, alone or with 32 callers;
//! - F: one flush of a simulated slow disk, 5 ms;
//! - A: argon2 in a loop, memory reused;
//! - U: 64 tokens in one insert, over one connection; P: one prepared select by primary key.
//!
//! CPU time is the kernel's account of the process, which the load beside it cannot blur. Linux.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run may panic")]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "what it prints is the result")]
#![expect(clippy::cast_precision_loss, reason = "figures to a few digits")]

#[expect(dead_code, reason = "tests of faults want more of it than a benchmark")]
#[path = "../../tests/it/support/postgres.rs"]
mod postgres;

#[expect(dead_code, reason = "other benchmarks want more of it")]
#[path = "../shared/process.rs"]
mod process;

mod commits;
mod empty;
mod growth;
mod load;
mod rows;
mod yardsticks;

use std::env;

use comfy_table::{CellAlignment, Table, presets::UTF8_HORIZONTAL_ONLY};
use serde_json::{Map, Value, json};

use rows::Row;

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let has = |argument: &str| arguments.iter().any(|given| given == argument);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if has(empty::ARGUMENT) {
        runtime.block_on(empty::serve());
        return;
    }
    let rows = runtime.block_on(async {
        if has("--growth") {
            rows::table(growth::measure().await)
        } else if has("--commits") {
            rows::table(commits::measure().await)
        } else {
            rows::table(rows::measure().await)
        }
    });
    if has("--json") {
        let object: Map<String, Value> = rows.iter().map(Row::json).collect();
        println!("{}", json!(object));
        return;
    }
    let mut table = Table::new();
    let heading = ["#", "what", "ratio", "low – high", "budget", ""];
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(heading);
    table.add_rows(rows.iter().map(Row::cells));
    for column in [2, 3, 4] {
        table.column_mut(column).unwrap().set_cell_alignment(CellAlignment::Right);
    }
    println!("{table}");
}
