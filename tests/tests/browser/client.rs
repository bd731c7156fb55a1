//! The npm package: its rules, its types, how it is packed, and the example that uses it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::PoisonError;

use doorward_tests::Dev;

use crate::QUIET;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn package() -> PathBuf {
    repository().join("crates/http/assets/client")
}

/// Runs a command that has to succeed, and gives what it says.
fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("./test installs Node");
    let (said, complaint) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {said}\n{complaint}");
    said.into_owned()
}

/// The compiler that `./test` installs beside the browser tests.
fn tsc() -> Command {
    let mut command = Command::new("node");
    command.arg(repository().join("tests/browser/node_modules/typescript/bin/tsc"));
    command
}

#[test]
fn the_client_keeps_its_rules() {
    let _together = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let files = fs::read_dir(repository().join("tests/client")).unwrap().map(|entry| entry.unwrap().path());
    let tests = files.filter(|path| path.to_string_lossy().ends_with(".test.mjs"));
    println!("{}", succeed(Command::new("node").args(["--test", "--test-reporter=tap"]).args(tests)));
}

#[test]
fn the_client_is_below_6_kib() {
    for (file, most) in [("doorward.js", 6 * 1024), ("notice.js", 2 * 1024), ("proof.js", 3 * 1024)] {
        let compressed = Command::new("gzip").args(["-9", "-c"]).arg(package().join(file)).output().unwrap().stdout;
        println!("{file}: {} bytes compressed", compressed.len());
        assert!(compressed.len() < most, "{file} has {} bytes compressed", compressed.len());
    }
}

#[test]
fn the_package_packs_imports_and_is_typed() {
    let _together = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().unwrap();
    let packed =
        succeed(Command::new("npm").args(["pack", "--silent", "--pack-destination"]).arg(folder.path()).arg(package()));
    let archive = folder.path().join(packed.trim());
    fs::write(folder.path().join("package.json"), r#"{ "type": "module", "private": true }"#).unwrap();
    let npm = ["install", "--silent", "--no-audit", "--no-fund", "--offline"];
    succeed(Command::new("npm").args(npm).arg(&archive).current_dir(folder.path()));
    let program = r#"
        import { createClient, DoorwardError } from "doorward";
        import { attachNotice } from "doorward/notice";
        import { solve } from "doorward/proof";
        if (!(await solve("dwp_x", 4)).startsWith("dwp_x.")) throw new Error("no solver");
        const client = createClient({ baseUrl: "http://localhost:9", session: "token" });
        if (typeof attachNotice !== "function" || await client.user() !== null) throw new Error("no client");
        if (!(new DoorwardError(404, { code: "not_found" }).code === "not_found")) throw new Error("no error");
        client.close();
        console.log("imported");
    "#;
    fs::write(folder.path().join("program.mjs"), program).unwrap();
    assert_eq!(succeed(Command::new("node").arg("program.mjs").current_dir(folder.path())).trim(), "imported");

    let typed = r#"
        import { createClient, DoorwardError, type Client, type User } from "doorward";
        import { attachNotice } from "doorward/notice";
        import { solve } from "doorward/proof";
        const client: Client = createClient({ baseUrl: "https://auth.example.com", session: "cookie", noticeBefore: 60 });
        const stop: () => void = client.onChange((user: User | null) => console.log(user?.email));
        client.onExpiring(async (expiring) => { const put: boolean = await expiring.extend(); console.log(put, expiring.endsAt.getTime()); });
        const user: User = await client.logIn({ email: "ada@example.com", password: "secret" });
        const response: Response = await client.fetch("/api/auth/me", { method: "GET" });
        try { await client.logOut(); } catch (error) { if (error instanceof DoorwardError) console.log(error.code, error.errors[0]?.field, error.challenge && (await solve(error.challenge, error.difficulty ?? 0)).length); }
        attachNotice(client, { root: document.body });
        // @ts-expect-error a password is needed
        await client.logIn({ email: "ada@example.com" });
        stop(); console.log(user.id, response.status);
    "#;
    fs::write(folder.path().join("program.ts"), typed).unwrap();
    let strict =
        ["--strict", "--noEmit", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "program.ts"];
    succeed(tsc().args(strict).current_dir(folder.path()));
}

#[test]
fn the_example_for_next_js_builds_and_keeps_its_page_to_who_is_logged_in() {
    let _together = QUIET.read().unwrap_or_else(PoisonError::into_inner);
    let example = repository().join("examples/nextjs");
    succeed(tsc().args(["--noEmit", "--project"]).arg(&example).current_dir(&example));
    let data = tempfile::tempdir().unwrap();
    let service = Dev::start(data.path());
    let mut check = Command::new("node");
    check.arg(repository().join("tests/browser/nextjs.mjs")).arg(&example).env("DOORWARD_URL", &service.url);
    println!("{}", succeed(check.env("NEXT_TELEMETRY_DISABLED", "1")));
}
