-- For wrk, before its connections: an agent has seen by then that this program runs. Headers go into
-- connections that are opened after that.
function init(arguments)
  os.execute("sleep 0.3")
end
