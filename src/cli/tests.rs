//! Tests of the arguments as a whole.

use super::*;

#[test]
fn the_arguments_are_consistent_and_every_command_shows_an_example() {
    let mut command = Cli::command();
    command.clone().debug_assert();
    command.build();
    let mut all = vec![command];
    while let Some(command) = all.pop() {
        if command.get_name() == "help" {
            continue;
        }
        all.extend(command.get_subcommands().cloned());
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("Example"), "{} has no example", command.get_name());
    }
}
