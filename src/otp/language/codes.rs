//! The codes of ISO 639-1. Must know nothing of texts.

/// Every code that ISO 639-1 has (183), and those that it withdrew, which old runtimes still say: bh, in, iw, ji, jw, mo and
/// sh. Sorted.
const CODES: [[u8; 2]; 190] = [
    *b"aa", *b"ab", *b"ae", *b"af", *b"ak", *b"am", *b"an", *b"ar", *b"as", *b"av", *b"ay", *b"az", *b"ba", *b"be",
    *b"bg", *b"bh", *b"bi", *b"bm", *b"bn", *b"bo", *b"br", *b"bs", *b"ca", *b"ce", *b"ch", *b"co", *b"cr", *b"cs",
    *b"cu", *b"cv", *b"cy", *b"da", *b"de", *b"dv", *b"dz", *b"ee", *b"el", *b"en", *b"eo", *b"es", *b"et", *b"eu",
    *b"fa", *b"ff", *b"fi", *b"fj", *b"fo", *b"fr", *b"fy", *b"ga", *b"gd", *b"gl", *b"gn", *b"gu", *b"gv", *b"ha",
    *b"he", *b"hi", *b"ho", *b"hr", *b"ht", *b"hu", *b"hy", *b"hz", *b"ia", *b"id", *b"ie", *b"ig", *b"ii", *b"ik",
    *b"in", *b"io", *b"is", *b"it", *b"iu", *b"iw", *b"ja", *b"ji", *b"jv", *b"jw", *b"ka", *b"kg", *b"ki", *b"kj",
    *b"kk", *b"kl", *b"km", *b"kn", *b"ko", *b"kr", *b"ks", *b"ku", *b"kv", *b"kw", *b"ky", *b"la", *b"lb", *b"lg",
    *b"li", *b"ln", *b"lo", *b"lt", *b"lu", *b"lv", *b"mg", *b"mh", *b"mi", *b"mk", *b"ml", *b"mn", *b"mo", *b"mr",
    *b"ms", *b"mt", *b"my", *b"na", *b"nb", *b"nd", *b"ne", *b"ng", *b"nl", *b"nn", *b"no", *b"nr", *b"nv", *b"ny",
    *b"oc", *b"oj", *b"om", *b"or", *b"os", *b"pa", *b"pi", *b"pl", *b"ps", *b"pt", *b"qu", *b"rm", *b"rn", *b"ro",
    *b"ru", *b"rw", *b"sa", *b"sc", *b"sd", *b"se", *b"sg", *b"sh", *b"si", *b"sk", *b"sl", *b"sm", *b"sn", *b"so",
    *b"sq", *b"sr", *b"ss", *b"st", *b"su", *b"sv", *b"sw", *b"ta", *b"te", *b"tg", *b"th", *b"ti", *b"tk", *b"tl",
    *b"tn", *b"to", *b"tr", *b"ts", *b"tt", *b"tw", *b"ty", *b"ug", *b"uk", *b"ur", *b"uz", *b"ve", *b"vi", *b"vo",
    *b"wa", *b"wo", *b"xh", *b"yi", *b"yo", *b"za", *b"zh", *b"zu",
];

/// Whether a language has this code, in lower case.
pub(super) fn is_one(code: [u8; 2]) -> bool {
    CODES.binary_search(&code).is_ok()
}
