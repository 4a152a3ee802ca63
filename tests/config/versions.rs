//! `deploy/versions.md`: it says what is so in the Dockerfile, in what `make setup` fetches, and in the tests.

use crate::*;
use testbed::image::Dockerfile;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Consul, the vendor's Envoys, what was tested.
fn rows() -> Vec<[String; 3]> {
    let page = read("deploy/versions.md");
    let table = page.split("|---|---|---|\n").nth(1).unwrap();
    let lines = table.lines().take_while(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let cells = line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
        cells.collect::<Vec<_>>().try_into().unwrap()
    };
    lines.map(cells).collect()
}

/// `1.22` of `hashicorp/consul:1.22.3` or `envoyproxy/envoy:distroless-v1.22-latest`.
fn minor(image: &str) -> String {
    let tag = image.split(':').nth(1).unwrap();
    let number = tag.trim_start_matches(|c: char| !c.is_ascii_digit());
    let mut parts = number.split(['.', '-']);
    format!("{}.{}", parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn the_images_of_the_dockerfile_are_a_pair_of_the_vendors() {
    let file = Dockerfile::parse(&read("Dockerfile"), &[]).unwrap();
    let [consul, envoy] = ["CONSUL_IMAGE", "ENVOY_IMAGE"].map(|arg| minor(&file.args[arg]));
    let rows = rows();
    let row = rows.iter().find(|row| row[0] == consul).unwrap_or_else(|| panic!("no row {consul}"));
    assert!(row[1].split(", ").any(|listed| listed == envoy), "{envoy}: {row:?}");
    assert!(row[2].contains("the Dockerfile's default"), "{row:?}");
    let toolchain = read("rust-toolchain.toml");
    let rust = minor(&file.args["RUST_IMAGE"]);
    assert!(toolchain.contains(&format!("\"{rust}.")), "rust {rust}: {toolchain}");
}

#[test]
fn what_the_page_says_is_tested_is_there() {
    let tests = ["tests", "tests/timeline"].map(|folder| {
        let files = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
        let all = files.map(|file| file.unwrap().path());
        all.filter(|path| path.is_dir() || path.extension().is_some_and(|ext| ext == "rs"))
    });
    let paths: Vec<PathBuf> = tests.into_iter().flatten().collect();
    let texts: Vec<String> =
        paths.iter().filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    for [consul, _, tested] in rows() {
        for name in tested.split('`').skip(1).step_by(2).filter(|name| !name.starts_with("make ")) {
            let suite = paths.iter().any(|path| path.ends_with(format!("tests/{name}")));
            let test = texts.iter().any(|text| text.contains(&format!("fn {name}()")));
            assert!(suite || test, "{consul}: there is no {name}");
        }
    }
}

#[test]
fn what_setup_fetches_is_what_the_page_says() {
    let page = read("deploy/versions.md");
    let version = |file: &str, before: &str| {
        let text = read(file);
        let rest = text.split(before).nth(1).unwrap_or_else(|| panic!("{file}: no {before}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let envoy = version("scripts/lib/envoy.py", "VERSION = \"");
    assert_eq!(
        page.matches("Envoy 1.40.0").count(),
        page.matches(&format!("Envoy {envoy}")).count()
    );
    assert!(read("scripts/lib/consul.py").contains("1.8.7"));
}
