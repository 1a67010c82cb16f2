//! The slider puzzle against whoever guesses, repeats or takes another's; and what a simple program makes of the picture.

use std::sync::Arc;
use std::time::Duration;

use otpgate::access::connection::ConnectionId;
use otpgate::clock::{Clock, ManualClock, UnixMillis};
use otpgate::identity::captcha::draw::{FIRST, HEIGHT, LAST, PIECE, WIDTH};
use otpgate::identity::captcha::{CaptchaError, Captchas, LIFE, Puzzle, TOLERANCE};
use otpgate::secret::{Keyring, SystemEntropy};
use otpgate::store::memory::MemoryStore;

struct Scene {
    captchas: Captchas,
    clock: Arc<ManualClock>,
    connection: ConnectionId,
}

fn scene() -> Scene {
    let clock = Arc::new(ManualClock::at(UnixMillis(1_763_764_437_120)));
    let store = MemoryStore::new(Duration::from_secs(1), Arc::clone(&clock) as Arc<dyn Clock>);
    let keyring = Arc::new(Keyring::generate(&SystemEntropy));
    let captchas =
        Captchas::new(Arc::new(store), keyring, Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemEntropy));
    Scene { captchas, clock, connection: ConnectionId::generate(&SystemEntropy) }
}

/// The pixels of an image as luminance, and which of them are opaque.
pub(crate) fn luminance(png: &[u8]) -> Vec<Option<i32>> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::EXPAND);
    let mut reader = decoder.read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
    let frame = reader.next_frame(&mut bytes).unwrap();
    let samples = frame.color_type.samples();
    bytes[..frame.buffer_size()]
        .chunks_exact(samples)
        .map(|pixel| {
            let light = i32::from(pixel[0]) * 3 + i32::from(pixel[1]) * 6 + i32::from(pixel[2]);
            (samples < 4 || pixel[3] > 0).then_some(light)
        })
        .collect()
}

/// Slides the piece over the picture and takes the place where the halved piece differs least: it knows how a hole is made,
/// and on which line. Nothing that is drawn is safe from that; a puzzle keeps out what does not look.
pub(crate) fn solve(background: &[u8], piece: &[u8]) -> u16 {
    let (scene, strip) = (luminance(background), luminance(piece));
    let opaque: Vec<_> =
        (0..HEIGHT * PIECE).filter_map(|at| strip[at].map(|light| (at % PIECE, at / PIECE, light))).collect();
    let difference = |left: usize| -> i32 {
        let off = |(x, y, light): &(usize, usize, i32)| (scene[y * WIDTH + left + x].unwrap_or(0) - light / 2).abs();
        opaque.iter().step_by(7).map(off).sum()
    };
    (FIRST..=LAST).min_by_key(|left| difference(usize::from(*left))).unwrap()
}

/// The solution, as only a program with eyes finds it.
fn look(puzzle: &Puzzle) -> f64 {
    f64::from(solve(&puzzle.drawing.background, &puzzle.drawing.piece))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_solved_puzzle_serves_once_for_its_sender() {
    let Scene { captchas, clock, connection } = scene();
    let puzzle = captchas.pose(connection).await.unwrap();
    let (token, x) = (puzzle.token.clone(), look(&puzzle));
    assert_eq!(captchas.spend(connection, &token, x, "a").await, Err(CaptchaError::Invalid), "it was not solved");
    let stranger = ConnectionId::generate(&SystemEntropy);
    assert_eq!(captchas.solve(stranger, &token, x, "a").await, Err(CaptchaError::Invalid));
    assert_eq!(captchas.solve(connection, &token, x, "a").await, Ok(()));
    assert_eq!(captchas.solve(connection, &token, x, "a").await, Err(CaptchaError::Invalid), "one try");
    assert_eq!(captchas.spend(connection, &token, x, "b").await, Err(CaptchaError::Invalid), "another sender");
    assert_eq!(captchas.spend(stranger, &token, x, "a").await, Err(CaptchaError::Invalid));
    assert_eq!(captchas.spend(connection, &token, x + 40.0, "a").await, Err(CaptchaError::Invalid), "another answer");
    assert_eq!(captchas.spend(connection, &token, x, "a").await, Ok(()));
    assert_eq!(captchas.spend(connection, &token, x, "a").await, Err(CaptchaError::Invalid), "spent");
    // A wrong try leaves none.
    let puzzle = captchas.pose(connection).await.unwrap();
    let x = look(&puzzle);
    let wrong = if x > 150.0 { x - 20.0 } else { x + 20.0 };
    assert_eq!(captchas.solve(connection, &puzzle.token, wrong, "a").await, Err(CaptchaError::Invalid));
    assert_eq!(captchas.solve(connection, &puzzle.token, x, "a").await, Err(CaptchaError::Invalid));
    for odd in [f64::NAN, f64::INFINITY, -1.0] {
        let puzzle = captchas.pose(connection).await.unwrap();
        assert_eq!(captchas.solve(connection, &puzzle.token, odd, "a").await, Err(CaptchaError::Invalid));
    }
    // Time ends it, before and after it was solved.
    let (early, late) = (captchas.pose(connection).await.unwrap(), captchas.pose(connection).await.unwrap());
    assert_eq!(captchas.solve(connection, &early.token, look(&early), "a").await, Ok(()));
    clock.advance(LIFE);
    assert_eq!(captchas.spend(connection, &early.token, look(&early), "a").await, Err(CaptchaError::Expired));
    assert_eq!(captchas.solve(connection, &late.token, look(&late), "a").await, Err(CaptchaError::Expired));
    for token in ["", "zz", &late.token[2..], &late.token.replace('0', "1")] {
        assert_eq!(captchas.solve(connection, token, 1.0, "a").await, Err(CaptchaError::Invalid), "{token}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blind_guesser_passes_at_most_one_in_twenty() {
    let Scene { captchas, connection, .. } = scene();
    // The guess that is best against a uniform position: any place that is far from both ends. Others try their luck.
    let middle = f64::from(u32::from(FIRST + LAST) / 2);
    let strategies: [fn(u32, f64) -> f64; 3] = [
        |_, middle| middle,
        |round, _| f64::from(FIRST) + TOLERANCE + f64::from(round % u32::from(LAST - FIRST - 8)),
        |round, middle| middle + if round % 2 == 0 { 50.0 } else { -50.0 },
    ];
    let (mut passed, mut seen, rounds) = (0, 0, 10_000_u32);
    for round in 0..rounds {
        let puzzle = captchas.pose(connection).await.unwrap();
        let guess = strategies[round as usize % strategies.len()](round / 3, middle);
        passed += u32::from(captchas.solve(connection, &puzzle.token, guess, "a").await.is_ok());
        if round % 200 == 0 {
            let other = captchas.pose(connection).await.unwrap();
            seen += u32::from(captchas.solve(connection, &other.token, look(&other), "a").await.is_ok());
        }
    }
    let share = f64::from(passed) / f64::from(rounds);
    println!("blind: {passed} of {rounds}; a program that knows how holes are made: {seen} of {}", rounds / 200);
    assert!(share <= 0.05, "{share}");
    // And the judge does let through: nine places of 221.
    assert!(share >= 0.03, "{share}");
}
