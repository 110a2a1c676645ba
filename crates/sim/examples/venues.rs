//! The simulator alone, without the rest of the platform: `cargo run -p sim --example venues -- --home DIR`.

fn main() {
    std::process::exit(sim::run(std::env::args().skip(1).collect(), sim::in_run));
}
