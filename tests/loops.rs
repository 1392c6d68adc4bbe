//! The loops of the built kernels keep their sums in registers. A compiler that stores every sum to the stack after every
//! multiply-add computes the same numbers, at a third of the speed, and no other test sees it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::process::Command;

const OBJDUMP: &str = "objdump";

/// What `objdump` prints about the built program.
fn objdump(arguments: &[String]) -> String {
    let program = env!("CARGO_BIN_EXE_maskscope");
    let ran = Command::new(OBJDUMP).args(arguments).arg(program).output();
    let ran = ran.unwrap_or_else(|e| panic!("{OBJDUMP} does not run ({e}): install GNU binutils"));
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).expect("text")
}

/// Address and size of every function of this program's kernels.
fn kernels() -> Vec<(u64, u64)> {
    let symbols = objdump(&["-t".into(), "-C".into()]);
    let ours = symbols.lines().filter(|line| line.contains("maskscope::tensor::kernels::"));
    ours.filter_map(|line| {
        let (address, rest) = line.split_once(' ')?;
        let (_, rest) = rest.split_once(".text")?;
        let size = rest.split_whitespace().next()?;
        Some((u64::from_str_radix(address, 16).ok()?, u64::from_str_radix(size, 16).ok()?))
    })
    .filter(|&(_, size)| size > 0)
    .collect()
}

/// Instructions of a function with their addresses.
fn instructions((address, size): (u64, u64)) -> Vec<(u64, String)> {
    let text = objdump(&[
        "-d".into(),
        "-M".into(),
        "intel".into(),
        "--no-show-raw-insn".into(),
        format!("--start-address={address}"),
        format!("--stop-address={}", address + size),
    ]);
    text.lines()
        .filter_map(|line| {
            let (address, instruction) = line.split_once(":\t")?;
            Some((u64::from_str_radix(address.trim(), 16).ok()?, instruction.trim().to_owned()))
        })
        .collect()
}

/// Bodies of the innermost loops: what lies between a jump and its target before it, without such a jump inside.
fn innermost_loops(code: &[(u64, String)]) -> Vec<&[(u64, String)]> {
    let backward: Vec<(usize, usize)> = code
        .iter()
        .enumerate()
        .filter_map(|(at, (address, instruction))| {
            let (name, target) = instruction.split_once(char::is_whitespace)?;
            let target =
                u64::from_str_radix(target.split_whitespace().next()?.trim_start_matches("0x"), 16).ok()?;
            let start = code.binary_search_by_key(&target, |(address, _)| *address).ok()?;
            (name.starts_with('j') && target <= *address).then_some((start, at))
        })
        .collect();
    let holds_another = |&(start, end): &(usize, usize)| {
        backward.iter().any(|&(s, e)| (s, e) != (start, end) && s >= start && e <= end)
    };
    backward.iter().filter(|l| !holds_another(l)).map(|&(start, end)| &code[start..=end]).collect()
}

/// Whether an instruction moves a register of numbers to or from the stack.
fn spills(instruction: &str) -> bool {
    let wide = instruction.contains("ymm") || instruction.contains("zmm");
    wide && (instruction.contains("[rsp") || instruction.contains("[rbp-"))
}

#[test]
#[cfg(target_arch = "x86_64")]
#[cfg_attr(debug_assertions, ignore = "looks at optimised code: cargo test --release")]
fn no_loop_of_multiply_adds_touches_the_stack() {
    let (mut tiles, mut faults) = ([0, 0], Vec::new());
    for kernel in kernels() {
        let code = instructions(kernel);
        for body in innermost_loops(&code) {
            let count = |register: &str| {
                let of = |i: &&(u64, String)| i.1.starts_with("vfmadd") && i.1.contains(register);
                body.iter().filter(of).count()
            };
            let (avx512, avx2) = (count("zmm"), count("ymm"));
            // A tile of 24 registers of AVX-512, of 12 of AVX2, four steps each.
            tiles[0] += usize::from(avx512 == 96);
            tiles[1] += usize::from(avx2 == 48);
            if avx512 + avx2 < 8 {
                continue;
            }
            let stored: Vec<&str> = body.iter().map(|i| i.1.as_str()).filter(|i| spills(i)).collect();
            if let Some(first) = stored.first() {
                let all = avx512 + avx2;
                faults.push(format!(
                    "{:x}: {} of the stack for {all} multiply-adds, {first}",
                    body[0].0,
                    stored.len()
                ));
            }
        }
    }
    assert!(tiles.iter().all(|&n| n > 0), "tiles of AVX-512 and AVX2 in the program: {tiles:?}");
    assert!(faults.is_empty(), "loops that keep sums on the stack:\n{}", faults.join("\n"));
}
