//! What the images are, beside what runs in them.

use super::site::{dockerfile, image};
use std::path::Path;
use testbed::image::{Image, Parts};
use testbed::net::{Lan, PidSpace, ProcessSpec, RootFs};
use testbed::scratch::Scratch;
use testbed::skip::skip;

/// A network of which a hub builds images; `None` after having said why not.
fn lan() -> Option<Lan> {
    let lan = Lan::new().expect("lan");
    if let Some(why) = lan.loopback_reason() {
        skip(&format!("no root file system of a process's own: {why}"));
        return None;
    }
    Some(lan)
}

/// The image of a target, with programs that do nothing.
async fn hollow(lan: &Lan, text: &str, target: Option<&str>) -> (Scratch, Result<Image, String>) {
    let dir = Scratch::new().expect("dir");
    let built = image(lan, dir.path(), text, Parts::hollow(), target).await;
    (dir, built.map_err(|error| format!("{error:#}")))
}

/// Files that the images have by the Dockerfile: neither libraries nor what else a base image has.
fn programs(image: &Image) -> Vec<String> {
    let files = image.files().into_iter().map(|file| file.display().to_string());
    files.filter(|file| !file.starts_with("/lib") && !file.starts_with("/etc/passwd")).collect()
}

#[tokio::test]
async fn neither_image_has_a_shell_or_runs_as_root() {
    let Some(lan) = lan() else { return };
    let (_dir, helper) = hollow(&lan, &dockerfile(), None).await;
    let helper = helper.expect("built");
    assert_eq!(helper.flaws(), Vec::<String>::new());
    assert_eq!(helper.config.cmd, ["run"]);
    let certificates = "/etc/ssl/certs/ca-certificates.crt";
    let bin = ["consul", "envoy", "taskmesh"].map(|name| format!("/usr/local/bin/{name}"));
    let expected = [&[certificates.to_owned(), "/taskmesh/taskmesh".to_owned()][..], &bin].concat();
    assert_eq!(programs(&helper), expected);

    let (_dir, controller) = hollow(&lan, &dockerfile(), Some("controller")).await;
    let controller = controller.expect("built");
    assert_eq!(controller.flaws(), Vec::<String>::new());
    assert_eq!(controller.config.cmd, ["controller"]);
    assert_eq!(programs(&controller), [certificates, "/usr/local/bin/taskmesh"]);
}

/// The checks above would notice.
#[tokio::test]
async fn a_mistake_in_the_dockerfile_is_found() {
    let Some(lan) = lan() else { return };
    let text = dockerfile();
    for (from, to, found) in [
        ("--chown=65532:65532 /out/consul", "/out/consul", "VOLUME /consul: belongs to 0"),
        ("--chown=65532:65532 /out/bin", "/out/bin", "VOLUME /taskmesh: belongs to 0"),
        (
            "mkdir -p /out/bin /out/consul/data",
            "mkdir -p /out/bin /out/consul",
            "VOLUME /consul/data",
        ),
        ("cp target/release/taskmesh", "cp target/debug/taskmesh", "RUN"),
        ("/bin/consul /usr", "/usr/bin/consul /usr", "/usr/bin/consul is not there"),
        ("VOLUME [\"/taskmesh\",", "VOLUME [\"/taskmehs\",", "VOLUME /taskmehs"),
        ("USER 65532:65532\nSTOPSIGNAL", "STOPSIGNAL", "runs as root"),
        ("USER 65532:65532\nSTOPSIGNAL", "USER 0:0\nSTOPSIGNAL", "runs as root"),
        ("ENTRYPOINT [\"/usr/local/bin/taskmesh\"]", "ENTRYPOINT taskmesh", "not in exec form"),
        ("CMD [\"run\"]", "CMD run", "not in exec form"),
        ("CMD [\"run\"]", "CMD [\"run\"]\nHEALTHCHECK CMD [\"x\"]", "HEALTHCHECK"),
        ("CMD [\"run\"]", "CMD [\"run\"]\nRUN true", "there is no shell"),
        ("FROM envoy AS taskmesh", "FROM scratch AS taskmesh", "no CA certificates"),
    ] {
        assert!(text.contains(from), "{from} is not in the Dockerfile");
        let (_dir, built) = hollow(&lan, &text.replace(from, to), None).await;
        let said = built.map_or_else(|error| error, |image| image.flaws().join(", "));
        assert!(said.contains(found), "{to}: {said}");
    }
}

#[tokio::test]
async fn the_controllers_image_runs_as_nobody_on_a_read_only_root() {
    let Some(lan) = lan() else { return };
    let dir = Scratch::new().expect("dir");
    let parts = Parts::find(Path::new("/bin/true"));
    let parts = match parts {
        Ok(parts) => parts,
        Err(missing) => return skip(&missing.to_string()),
    };
    let built = image(&lan, dir.path(), &dockerfile(), parts, Some("controller")).await;
    let image = built.expect("built");
    std::fs::create_dir_all(image.root.join("proc")).expect("proc");
    let mut spec = ProcessSpec::new(&image.config.entrypoint[0], ["version"]);
    spec.user = Some((65532, 65532));
    spec.pid_space = PidSpace::New;
    spec.root = Some(RootFs { folder: image.root, read_only: true, mounts: Vec::new() });
    let process = lan.hub().spawn_process(spec).await.expect("started");
    let exit = process.finished().await;
    let said = process.output().snapshot();
    assert_eq!(exit.code(), 0, "{said:?}");
    assert!(said[0].text.contains(env!("CARGO_PKG_VERSION")), "{said:?}");
}
