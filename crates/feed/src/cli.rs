//! The command line of the native parts: `tidemill collector | relay | bridge | sim …`.

use clap::{Parser, Subcommand};

use crate::failure::{Category, Failure};
use crate::part::socket_path;
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
        return sim::run(args[1..].to_vec(), socket_path);
    }
    match Line::try_parse_from(std::iter::once("tidemill").chain(args.iter().map(String::as_str))) {
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
            let failure = unfit(&args, &error.to_string());
            eprintln!("{}", failure.to_json());
            failure.category.exit_code()
        }
    }
}

/// What clap says about arguments, in one line and without its usage.
fn unfit(args: &[String], told: &str) -> Failure {
    let lines: Vec<&str> = told
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .lines()
        .map(str::trim)
        .collect();
    let part = args.first().map_or("", String::as_str);
    let command = match part {
        "collector" | "relay" | "bridge" => format!("tidemill {part}"),
        _ => "tidemill".to_owned(),
    };
    Failure::new(
        Category::Usage,
        "arguments_unfit",
        lines.join(" ").trim_start_matches("error: "),
        format!("{command} --help names all options"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named_with_the_parts_own_help() {
        let told = |args: &[&str]| {
            let args: Vec<String> = args.iter().map(|&word| word.to_owned()).collect();
            let error =
                Line::try_parse_from(std::iter::once("tidemill").chain(args.iter().map(String::as_str)));
            unfit(&args, &error.unwrap_err().to_string())
        };
        let found = told(&["relay", "--home", "/tmp/x", "--listen", "127.0.0.1:0"]);
        assert!(found.message.contains("--token-file"), "{}", found.message);
        assert_eq!(found.hint, "tidemill relay --help names all options");
        let found = told(&["relay", "--home", "/tmp/x", "--source", "elsewhere"]);
        assert!(
            found.message.contains("neither journal nor relay:ADDRESS"),
            "{}",
            found.message
        );
    }

    #[test]
    fn relays_take_their_source_as_the_other_parts_do() {
        for source in ["journal", "relay:/run/relay.sock", "relay:example.org:4000"] {
            assert!(
                Line::try_parse_from(["tidemill", "relay", "--home", "/tmp/x", "--source", source]).is_ok()
            );
        }
    }

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
