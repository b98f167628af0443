-- wrk: each request asks for a path of its own. CLEW_TOKEN is the name that all of them share.
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

function init()
  sent = 0
end

function request()
  sent = sent + 1
  return wrk.format("GET", string.format("/s/%s%d-%d.1", os.getenv("CLEW_TOKEN"), number, sent))
end
