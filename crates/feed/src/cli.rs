//! The command line of the native parts: `tidemill collector | relay | bridge | sim …`.

use clap::{Parser, Subcommand};

use crate::failure::{Category, Failure};
use crate::{bridge, collector, relay};

#[derive(Parser, Debug)]
#[command(name = "tidemill", version, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    part: Part,
}

#[derive(Subcommand, Debug)]
enum Part {
    Collector(collector::Arguments),
    Relay(relay::Options),
    Bridge(bridge::Options),
}

/// Runs the part that `args` name, without the program's own name: `["collector", "kraken", …]`. Returns
/// the exit code; errors are told on stderr in the platform's one shape.
pub fn run(args: Vec<String>) -> i32 {
    if args.first().is_some_and(|part| part == "sim") {
        return sim::run(args[1..].to_vec());
    }
    match Line::try_parse_from(std::iter::once("tidemill".to_owned()).chain(args)) {
        Ok(line) => match line.part {
            Part::Collector(arguments) => collector::run(arguments),
            Part::Relay(options) => relay::run(options),
            Part::Bridge(options) => bridge::run(options),
        },
        Err(error) if !error.use_stderr() => {
            // --help and --version
            print!("{error}");
            0
        }
        Err(error) => {
            let text = error.to_string();
            let message = text
                .lines()
                .next()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            let failure = Failure::new(
                Category::Usage,
                "arguments_unfit",
                message,
                "tidemill collector --help names all options",
            );
            eprintln!("{}", failure.to_json());
            failure.category.exit_code()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for args in [
            &["collector"][..],
            &["collector", "kraken", "--home", "/tmp/x", "--frequency", "9"],
            &["teleport"],
            &[],
        ] {
            assert_eq!(run(args.iter().map(|&s| s.to_owned()).collect()), 2, "{args:?}");
        }
    }
}
