use super::*;

#[test]
fn a_class_off_the_list_is_refused() {
    let evil = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.";
    assert!(run(evil).is_err_and(|e| e.contains("posix.system")));
    // The same by STACK_GLOBAL, which protocol 4 has.
    let evil = b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.";
    assert!(run(evil).is_err_and(|e| e.contains("posix.system")));
    assert!(run(b"\x80\x02ccollections\nOrderedDict\n)R.").is_ok());
    for cut in [&b"\x80\x02ccollections\nOrde"[..], b"", b"X\xff\xff\xff\xff", b"\x8a\x09\x01", b"("] {
        assert_eq!(run(cut).map(|_| ()), Err(CUT.to_owned()), "{cut:?}");
    }
}

#[test]
fn malformed_pickles_are_errors_and_never_panics() {
    for bytes in [
        &b"."[..],
        b"t.",
        b"\x85.",
        b"N\x86.",
        b"]N}s.",
        b"h\x00.",
        b"a.",
        b"NNs.",
        b"}(Nu.",
        b"NR.",
        b"ccollections\nOrderedDict\nNR.",
        b"NQ.",
        b")Q.",
        b"(X\x07\x00\x00\x00storageNNNNtQ.",
        b"\x93.",
        b"\x94.",
        b"i.",
        b"o.",
        b"ctorch._utils\n_rebuild_tensor_v2\n)R.",
        b"ctorch._utils\n_rebuild_tensor_v2\nN\x85R.",
    ] {
        assert!(run(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn depth_and_sharing_cost_no_more_than_their_bytes() {
    // A list in a list in a list …, 200,000 deep, and one that holds itself.
    let n = 200_000;
    let deep: Vec<u8> = [vec![b']'; n], vec![b'a'; n - 1], vec![b'.']].concat();
    assert_eq!(run(&deep).unwrap().arena.len(), n);
    assert!(run(b"]q\x00h\x00a.").is_ok());
    // The same of tuples, and a million marks that nothing closes.
    let tuples: Vec<u8> = [vec![b'N'], vec![0x85; n], vec![b'.']].concat();
    assert_eq!(run(&tuples).unwrap().arena.len(), n + 1);
    assert!(run(&[vec![b'('; 1_000_000], vec![b'.']].concat()).is_err());
    let closed: Vec<u8> = [vec![b'('; 1_000_000], vec![b't'; 1_000_000], vec![b'.']].concat();
    assert_eq!(run(&closed).unwrap().arena.len(), 1_000_000);
    // Sixty doublings, by DUP and through the memo: 2^60 leaves for who walks them, sixty values here.
    for double in [&b"2\x86"[..], b"q\x00h\x00\x86", b"q\x01h\x01h\x01\x87", b"\x94h\x00\x86"] {
        let pickle: Vec<u8> = [b"N".to_vec(), double.repeat(60), b".".to_vec()].concat();
        let pickle = run(&pickle).unwrap();
        let held: usize =
            pickle.arena.iter().map(|v| if let Value::Tuple(t) = v { t.len() } else { 0 }).sum();
        assert!(pickle.arena.len() == 61 && held <= 180, "{double:?}");
    }
}

#[test]
fn values_and_copies_are_counted() {
    let full: Vec<u8> = [vec![b'N'; MOST_VALUES + 1], vec![b'.']].concat();
    assert!(run(&full).unwrap_err().contains("more than"));
    assert!(
        run(&[vec![b'N'], vec![0x94; MOST_VALUES + 1], vec![b'.']].concat())
            .unwrap_err()
            .contains("more than")
    );
    // One long list, of which a set is made again and again.
    let mut copies = b"](".to_vec();
    copies.extend(vec![b'N'; 100_000]);
    copies.extend(b"e\x85q\x000cbuiltins\nset\nq\x010");
    copies.extend(b"h\x01h\x00R".repeat(100_000));
    copies.push(b'.');
    assert!(run(&copies).unwrap_err().contains("copies"));
}

#[test]
fn tensors_have_no_more_dimensions_than_in_pytorch_and_short_keys() {
    let tensor = |key: &str, dims: usize| {
        let mut bytes =
            b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX"
                .to_vec();
        bytes.extend((key.len() as u32).to_le_bytes());
        bytes.extend(key.as_bytes());
        bytes.extend(b"X\x03\x00\x00\x00cpuK\x01tQK\x00");
        bytes.extend([vec![b'('], b"K\x01".repeat(dims), vec![b't']].concat().repeat(2));
        bytes.extend(b"tR.");
        run(&bytes).map(|_| ())
    };
    assert_eq!(tensor("0", 64), Ok(()));
    assert!(tensor("0", 65).unwrap_err().contains("65 dimensions"));
    assert!(tensor(&"k".repeat(2000), 1).unwrap_err().contains("name of 2000 bytes"));
}

#[test]
fn plain_values_come_out_as_they_went_in() {
    // pickle.dumps({'a': 1, 'b': [-2, 3.5, None, True], 'c': ('x', 300, 70000)}, protocol=2)
    let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01X\x01\x00\x00\x00bq\x02]q\x03(J\xfe\xff\xff\xffG@\x0c\
        \x00\x00\x00\x00\x00\x00N\x88eX\x01\x00\x00\x00cq\x04X\x01\x00\x00\x00xq\x05M,\x01Jp\x11\x01\x00\x87q\x06u.";
    let pickle = run(bytes).unwrap();
    let get = |name: &str| &pickle.arena[pickle.get(pickle.root, name).unwrap()];
    assert_eq!(get("a"), &Value::Int(1));
    let Value::List(list) = get("b") else { panic!() };
    let list: Vec<&Value> = list.iter().map(|id| &pickle.arena[*id]).collect();
    assert_eq!(list, [&Value::Int(-2), &Value::Float(3.5), &Value::None, &Value::Bool(true)]);
    let Value::Tuple(tuple) = get("c") else { panic!() };
    assert_eq!(pickle.arena[tuple[2]], Value::Int(70000));
    assert_eq!(pickle.length, bytes.len());
}
