use super::*;

fn add(idle: &Idle, used: bool, count: usize) -> Vec<CancellationToken> {
    let tokens: Vec<CancellationToken> = (0..count).map(|_| CancellationToken::new()).collect();
    for token in &tokens {
        idle.add(used, token.clone());
    }
    tokens
}

fn cut(tokens: &[CancellationToken]) -> usize {
    tokens.iter().filter(|token| token.is_cancelled()).count()
}

#[tokio::test]
async fn many_new_connections_do_not_drive_out_those_in_use() {
    let idle = Idle::default();
    let used = add(&idle, true, 2);
    let new = add(&idle, false, FEW + 3);
    for _ in 0..3 {
        idle.cut_one().await;
    }
    assert_eq!((cut(&used), cut(&new)), (0, 3));
    assert!(new[..3].iter().all(CancellationToken::is_cancelled), "the oldest");
    // A few come to their first call, whoever uses the rest.
    idle.cut_one().await;
    assert_eq!((cut(&used[..1]), cut(&used[1..]), cut(&new)), (1, 0, 3));
    idle.cut_one().await;
    idle.cut_one().await;
    assert_eq!((cut(&used), cut(&new)), (2, 4));
}

#[tokio::test]
async fn one_that_is_in_use_again_is_left_alone() {
    let idle = Idle::default();
    let busy = CancellationToken::new();
    idle.remove(idle.add(true, busy.clone()));
    let wait = std::time::Duration::from_millis(20);
    assert!(tokio::time::timeout(wait, idle.cut_one()).await.is_err());
    let later = CancellationToken::new();
    let ((), _) = tokio::join!(idle.cut_one(), async { idle.add(true, later.clone()) });
    assert!(later.is_cancelled() && !busy.is_cancelled());
}
