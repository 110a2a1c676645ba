//! The native parts without Python: `cargo run --example native -- collector kraken --home DIR …`.

fn main() {
    std::process::exit(feed::cli::run(std::env::args().skip(1).collect()));
}
