//! A whole decision, fast, slow and explained, over the [`scene`], and over ten of AWS's own policies.

#![expect(clippy::expect_used, reason = "a bench has nobody to report to")]

mod scene;

use criterion::{Criterion, criterion_group, criterion_main};
use ringfence_policy::{Decision, PolicySet, decide, evaluate, explain};
use scene::{Scene, managed_policies};
use std::hint::black_box;

fn decisions(criterion: &mut Criterion) {
    let scene = Scene::new();
    let policies = scene.policies();
    let (allowed, denied) = (scene.allowed(), scene.denied());
    assert_eq!(decide(&allowed, &policies), Decision::Allow);
    assert!(!decide(&denied, &policies).is_allowed());

    let mut group = criterion.benchmark_group("decide");
    for (name, request) in [("allowed", &allowed), ("denied", &denied)] {
        group.bench_function(format!("{name}, fast"), |bencher| {
            bencher.iter(|| decide(black_box(request), black_box(&policies)));
        });
        group.bench_function(format!("{name}, slow"), |bencher| {
            bencher.iter(|| evaluate::decide(black_box(request), black_box(&policies)));
        });
    }
    group.bench_function("explained", |bencher| {
        bencher.iter(|| explain(black_box(&allowed), black_box(&policies)));
    });
    group.bench_function("first decision of a policy that was just edited", |bencher| {
        bencher.iter_batched(
            || scene.identity[7].clone(),
            |edited| {
                let policies = PolicySet { identity: vec![&edited], ..PolicySet::default() };
                decide(black_box(&allowed), &policies)
            },
            criterion::BatchSize::SmallInput,
        );
    });

    let (documents, patterns) = managed_policies();
    let policies = PolicySet { identity: documents.iter().collect(), ..PolicySet::default() };
    let own = scene.request("s3:GetBucketLocation", "arn:aws:s3:::data-lake");
    let none = scene.request("s3:DeleteBucketPolicy", "arn:aws:s3:::data-lake");
    assert_eq!(decide(&own, &policies), Decision::Allow);
    assert!(!decide(&none, &policies).is_allowed());
    for (name, request) in [("allowed", &own), ("denied", &none)] {
        let title = format!("{name} by ten managed policies of {patterns} action patterns");
        group.bench_function(format!("{title}, fast"), |bencher| {
            bencher.iter(|| decide(black_box(request), black_box(&policies)));
        });
        group.bench_function(format!("{title}, slow"), |bencher| {
            bencher.iter(|| evaluate::decide(black_box(request), black_box(&policies)));
        });
    }
    group.bench_function("first decision of the largest managed policy, just edited", |bencher| {
        bencher.iter_batched(
            || documents[0].clone(),
            |edited| {
                let policies = PolicySet { identity: vec![&edited], ..PolicySet::default() };
                decide(black_box(&own), &policies)
            },
            criterion::BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decisions);
criterion_main!(benches);
