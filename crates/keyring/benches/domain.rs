//! What sealing and opening a value costs: the store and every session token pay it.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringfence_keyring::Keyring;

fn domain(criterion: &mut Criterion) {
    let keyring = Keyring::ephemeral().expect("a root key");
    let domain = keyring.domain("store");
    let aad: [&[u8]; 3] = [b"000000000000", b"iam/user/alice", &7u64.to_be_bytes()];

    let mut group = criterion.benchmark_group("domain");
    for len in [32, 300, 4096, 65536] {
        let plaintext = vec![7; len];
        let sealed = domain.seal(&aad, &plaintext).expect("sealed");
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(format!("seal/{len}"), |bencher| {
            bencher.iter(|| domain.seal(black_box(&aad), black_box(&plaintext)));
        });
        group.bench_function(format!("open/{len}"), |bencher| {
            bencher.iter(|| domain.open(black_box(&aad), black_box(&sealed)));
        });
    }
    group.finish();
}

criterion_group!(benches, domain);
criterion_main!(benches);
