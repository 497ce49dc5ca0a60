// The page works without this file; it only keeps the chosen language for the next visit.
const language = new URLSearchParams(location.search).get("lang");
if (language === "en" || language === "ja") {
  document.cookie = `kakedoki_language=${language}; Path=/; Max-Age=31536000; SameSite=Lax`;
}
