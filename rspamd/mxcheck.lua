--[[
mxcheck: asks mxcheck-service whether the sender's domains really receive mail, and inserts its symbols.

Copyright (c) 2026, the mxcheck-service maintainers
Licensed under the Apache License, Version 2.0; see LICENSE.

Goes to plugins.d/ of rspamd's local configuration (/etc/rspamd/plugins.d/) and needs a section `mxcheck` in the
configuration: docs/rspamd.md. Loaded with `lua = "..."` before the modules instead, it offers scanners of type
`mxcheck` to external_services.

What comes over the wire is data: only symbols of this file's own table are inserted, whatever a reply names.
]] --

local N = 'mxcheck'

if confighelp then
  rspamd_config:add_example(nil, N,
      "Ask mxcheck-service whether the sender's domains really receive mail", [[
mxcheck {
  # Where the service is; a list is tried in turn
  url = "http://127.0.0.1:11340";
}
]])
  return
end

local lua_util = require "lua_util"
local rspamd_http = require "rspamd_http"
local rspamd_logger = require "rspamd_logger"
local rspamd_util = require "rspamd_util"
local ucl = require "ucl"

-- The service's symbols: setting that names it, default name, weight, meaning. Held to `mxcheck symbols` by a test.
local SYMBOLS = {
  { 'symbol_bad_mx', 'MX_INVALID', 3.0, 'MX host accepted the connection but does not speak SMTP' },
  { 'symbol_good_mx', 'MX_GOOD', -0.1, 'Domain has a working MX' },
  { 'symbol_white_mx', 'MX_WHITE', -0.1, 'Domain or MX host is excluded from the check as trusted' },
  { 'symbol_mx_refused', 'MX_REFUSED', 3.0, 'MX host refused the connection (port closed)' },
  { 'symbol_mx_timeout_connect', 'MX_TIMEOUT_CONNECT', 2.0, 'MX host did not answer the connection attempt' },
  { 'symbol_mx_timeout_read', 'MX_TIMEOUT_READ', 0.1,
    'MX host accepted the connection but sent no greeting in time' },
  { 'symbol_mx_error', 'MX_ERROR', 0.0, 'MX host greeted with 4xx/5xx: it speaks SMTP but turned the probe away' },
  { 'symbol_mx_none', 'MX_NONE', 4.0, 'Domain has neither MX nor A/AAAA records, or does not exist' },
  { 'symbol_mx_null', 'MX_NULL', 6.0, 'Domain publishes a Null MX (RFC 7505): it accepts no mail' },
  { 'symbol_mx_broken', 'MX_BROKEN', 4.0, "None of the domain's MX hosts resolves" },
  { 'symbol_mx_dns_fail', 'MX_DNS_FAIL', 0.0,
    "DNS failed for now (SERVFAIL, REFUSED, timeout); not the sender's fault" },
  { 'symbol_mx_local_only', 'MX_LOCAL_ONLY', 3.0,
    'All addresses of the MX are private (RFC 1918, CGNAT, ULA); not probed' },
  { 'symbol_mx_local_mix', 'MX_LOCAL_MIX', 3.0, 'Some addresses of the MX are private; the public ones were probed' },
  { 'symbol_mx_bogon_only', 'MX_BOGON_ONLY', 8.0, 'All addresses of the MX are bogons, not routable; not probed' },
  { 'symbol_mx_bogon_mix', 'MX_BOGON_MIX', 5.0, 'Some addresses of the MX are bogons; the public ones were probed' },
  { 'symbol_mx_skip', 'MX_SKIP', 0.0, 'exclude_ips left no address of the MX to probe' },
  { 'symbol_mx_bad', 'MX_BAD', 6.0, 'MX host is listed in bad_mxs' },
  { 'symbol_mx_ip_bad', 'MX_IP_BAD', 6.0, 'Address of the MX is listed in bad_ips' },
  { 'symbol_mx_inflight', 'MX_INFLIGHT', 0.0,
    'Another probe of the address is under way; its verdict will be cached' },
  { 'symbol_mx_redis_error', 'MX_REDIS_ERROR', 0.0, 'The cache failed while the probe lock was claimed; not probed' },
  { 'symbol_mx_probe_unavailable', 'MX_PROBE_UNAVAILABLE', 0.0,
    'A fault on our own side kept the probe from telling; not cached' },
  { 'symbol_mx_ratelimited', 'MX_RATELIMITED', 0.0,
    'Not probed: too many probes of its mail hosts just now; not cached' },
  { 'symbol_mx_a_good', 'MX_A_GOOD', 0.0, 'Domain has no MX, and its A/AAAA host takes connections (RFC 5321, 5.1)' },
  { 'symbol_mx_a_refused', 'MX_A_REFUSED', 3.0, 'Domain has no MX and its A/AAAA host refused the connection' },
  { 'symbol_mx_a_timeout_connect', 'MX_A_TIMEOUT_CONNECT', 2.5,
    'Domain has no MX and its A/AAAA host did not answer' },
  { 'symbol_mx_a_timeout_read', 'MX_A_TIMEOUT_READ', 0.1,
    'Domain has no MX and its A/AAAA host sent no greeting in time' },
  { 'symbol_mx_a_error', 'MX_A_ERROR', 0.0, 'Domain has no MX and its A/AAAA host greeted with 4xx/5xx' },
  { 'symbol_mx_a_invalid', 'MX_A_INVALID', 3.0, 'Domain has no MX and its A/AAAA host does not speak SMTP' },
}
local PREFIXES = {
  symbol_prefix_from = '',
  symbol_prefix_reply_to = 'REPLYTO_',
  symbol_prefix_mime_from = 'MIME_FROM_',
}
local PREFIX_ORDER = { 'symbol_prefix_from', 'symbol_prefix_reply_to', 'symbol_prefix_mime_from' }

local CALLBACK = 'MXCHECK_CHECK'
local FAIL = 'MXCHECK_FAIL'
local GROUP = 'mx'

local defaults = {
  url = 'http://127.0.0.1:11340', -- where the service is; several are tried in turn
  timeout = 6.0, -- seconds for the whole check, all URLs together
  keepalive = true, -- keep the connection to the service open between messages
  check_local = false, -- check mail of local clients (the service has a setting of its own for this)
  check_authorized = false, -- check mail of authenticated senders (the same)
  apply_reject = true, -- reject when the service says so
  apply_greylist = true, -- greylist when the service says so
  cooldown = 10.0, -- seconds for which a service that refuses connections is not asked
  token = nil, -- server.auth_token of the service
}
for setting, prefix in pairs(PREFIXES) do
  defaults[setting] = prefix
end
for _, symbol in ipairs(SYMBOLS) do
  defaults[symbol[1]] = symbol[2]
end

-- rspamd 4 keeps the schemas of its plugins' settings, for its documentation and its tools; rspamd 3 has no such thing.
local function register_schema()
  local T = require "lua_shape.core"
  local fields = { url = T.one_of({ T.string(), T.array(T.string()) }), token = T.string(), enabled = T.boolean() }
  for setting, default in pairs(defaults) do
    fields[setting] = fields[setting] or T[type(default)]()
  end
  for setting, schema in pairs(fields) do
    fields[setting] = schema:optional()
  end
  require("lua_shape.plugin_schema").register('plugins.' .. N, T.table(fields))
end
pcall(register_schema)

-- Bounds on what is sent: a message that made the service refuse the request would pass unchecked.
local MAX_NAME = 1024
local MAX_ADDRESSES = 100 -- of one header field, as server.max_addresses
-- Bounds on what a reply may do.
local MAX_REPLY = 1024 * 1024
local MAX_OPTIONS = 100
local MAX_OPTION = 256
local MAX_MULTIPLIER = 100
local MAX_MESSAGE = 256
local MAX_BRACKETS = 10000 -- and so of nesting, for which ucl and Lua need a stack
-- ucl's UCL_PARSER_SAFE_FLAGS, the default of rspamd 4 only: no times, no implicit arrays, no macros (.include reads
-- files), no file variables.
local SAFE_PARSER = 4 + 8 + 32 + 64
-- The service is to answer this many seconds before we stop listening.
local HEADROOM = 0.25
-- rspamd.conf: task_timeout's own default.
local TASK_TIMEOUT = 8.0

-- The settings that came out of a config table; nil, reason when they are no use.
local function settings_of(opts)
  local settings = lua_util.override_defaults(defaults, opts)
  local urls = type(settings.url) == 'table' and settings.url or { settings.url }
  settings.urls = {}
  for _, url in ipairs(urls) do
    if type(url) ~= 'string' or not url:match('^https?://[^%s/]+') then
      return nil, string.format('url %s is not http://host:port', tostring(url))
    end
    table.insert(settings.urls, (url:gsub('/+$', '')))
  end
  if #settings.urls == 0 then
    return nil, 'no url'
  end
  for _, key in ipairs({ 'timeout', 'cooldown' }) do
    settings[key] = tonumber(settings[key])
    if not settings[key] or settings[key] <= 0 then
      return nil, string.format('%s must be a positive number of seconds', key)
    end
  end
  for key, value in pairs(settings) do
    local is_text = key == 'token' or (type(defaults[key]) == 'string' and key ~= 'url')
    if is_text and type(value) ~= 'string' then
      return nil, string.format('%s must be text, in quotes', key)
    end
  end
  settings.resting = {} -- url -> time until which it is not asked
  settings.known = {} -- names of the symbols that may be inserted
  settings.symbols = {} -- { name, weight, description } of each, in order
  for _, prefix in ipairs(PREFIX_ORDER) do
    for _, symbol in ipairs(SYMBOLS) do
      local name = settings[prefix] .. settings[symbol[1]]
      settings.known[name] = true
      table.insert(settings.symbols, { name = name, score = symbol[3], description = symbol[4] })
    end
  end
  return settings
end

-- Domains are all the service wants to know; local parts stay here.
local function anybody_at(domain)
  return 'x@' .. domain
end

local function is_name(name)
  return name and #name > 0 and #name <= MAX_NAME and rspamd_util.is_valid_utf8(name)
end

local function addresses_of(list)
  local found, seen = {}, {}
  for _, address in ipairs(list or {}) do
    local domain = address.domain
    if is_name(domain) and not domain:find('[%s%c"(),:;<>@\\]') and not seen[domain] and #found < MAX_ADDRESSES then
      seen[domain] = true
      table.insert(found, anybody_at(domain))
    end
  end
  return found
end

-- The request of a task, taken from rspamd's own parsers, which the service would otherwise have to be.
local function request_of(task, deadline)
  local request = {
    authenticated = task:get_user() and true or false,
    deadline_ms = math.max(1, math.floor(deadline * 1000)),
  }
  request.sender = addresses_of(task:get_from('smtp'))[1]
  local mime_from = addresses_of(task:get_from('mime'))
  if #mime_from > 0 then
    request.mime_from = mime_from
  end
  local reply_to = task:get_header('Reply-To')
  if reply_to then
    local parsed = addresses_of(rspamd_util.parse_mail_address(reply_to, task:get_mempool()))
    if #parsed > 0 then
      -- One header value: of a list the service, like the reference, takes the first.
      request.reply_to = table.concat(parsed, ', ')
    end
  end
  local helo = task:get_helo()
  if is_name(helo) then
    request.helo = helo
  end
  local ip = task:get_ip()
  if ip and ip:is_valid() then
    request.client_ip = ip:to_string()
  end
  return ucl.to_format(request, 'json-compact')
end

local function options_of(sent)
  local options = {}
  if type(sent) == 'table' then
    for _, option in ipairs(sent) do
      if type(option) == 'string' and #options < MAX_OPTIONS then
        table.insert(options, option:sub(1, MAX_OPTION))
      end
    end
  end
  return options
end

local function multiplier_of(sent)
  if type(sent) == 'number' and sent == sent and math.abs(sent) <= MAX_MULTIPLIER then
    return sent
  end
  return 1.0
end

-- The text of a rejection, which goes into one line of an SMTP reply.
local function message_of(sent)
  local text = type(sent) == 'table' and sent.smtp_message
  if type(text) ~= 'string' then
    return 'Rejected'
  end
  if #text > MAX_MESSAGE then
    text = text:sub(1, MAX_MESSAGE):gsub('[\192-\255]?[\128-\191]*$', '')
  end
  text = text:gsub('%c', ' ')
  return rspamd_util.is_valid_utf8(text) and text or 'Rejected'
end

-- Insert what a reply says; nil when it is none of the service's.
local function apply(task, settings, body)
  local _, brackets = body:gsub('[%[{]', '')
  if brackets > MAX_BRACKETS then
    return nil
  end
  local parser = ucl.parser(SAFE_PARSER)
  local ok = parser:parse_string(body)
  local reply = ok and parser:get_object()
  if type(reply) ~= 'table' or type(reply.symbols) ~= 'table' or type(reply.action) ~= 'string' then
    return nil
  end
  for name, symbol in pairs(reply.symbols) do
    if settings.known[name] and type(symbol) == 'table' then
      task:insert_result(name, multiplier_of(symbol.weight), options_of(symbol.options))
    end
  end
  if reply.action == 'reject' and settings.apply_reject then
    task:set_pre_result('reject', message_of(reply.messages), N)
  elseif reply.action == 'greylist' and settings.apply_greylist then
    task:get_mempool():set_variable('grey_greylisted_required', '1')
  end
  return true
end

local function fail(task, settings, reason)
  rspamd_logger.warnx(task, '%s: not checked: %s', N, reason)
  task:insert_result(settings.symbol_fail or FAIL, 1.0)
end

local function is_skipped(task, settings)
  if task:get_user() and not settings.check_authorized then
    return true
  end
  local ip = task:get_ip()
  return ip and ip:is_valid() and ip:is_local() and not settings.check_local
end

-- Ask the first URL that is not resting; on failure the next one, as long as there is time.
local function check(task, settings)
  if is_skipped(task, settings) then
    return
  end
  local started = rspamd_util.get_ticks()

  local function ask(index, reason)
    local left = settings.timeout - (rspamd_util.get_ticks() - started)
    local url = settings.urls[index]
    if not url or left <= HEADROOM then
      fail(task, settings, reason or 'no service to ask')
      return
    end
    local resting = settings.resting[url]
    if resting and resting > rspamd_util.get_ticks() then
      ask(index + 1, reason or string.format('%s refused connections lately', url))
      return
    end
    local answered = false

    local function on_reply(err, code, body)
      if answered then
        return
      end
      answered = true
      if err or code ~= 200 then
        local problem = string.format('%s: %s', url, err or ('status ' .. tostring(code)))
        if err and tostring(err):lower():find('refused', 1, true) then
          settings.resting[url] = rspamd_util.get_ticks() + settings.cooldown
        end
        ask(index + 1, problem)
        return
      end
      if not apply(task, settings, tostring(body)) then
        ask(index + 1, string.format('%s: the reply is not the service\'s', url))
      end
    end

    local headers = {}
    if settings.token then
      headers.Authorization = 'Bearer ' .. settings.token
    end
    local sent = rspamd_http.request({
      task = task,
      url = url .. '/v1/check',
      method = 'post',
      mime_type = 'application/json',
      headers = headers,
      body = request_of(task, left - HEADROOM),
      timeout = left,
      max_size = MAX_REPLY,
      keepalive = settings.keepalive,
      callback = on_reply,
    })
    if not sent then
      on_reply('connection refused, or no memory for one')
    end
  end

  ask(1)
end

-- external_services: scanners of type `mxcheck`, when this file is loaded before that module.
local lua_scanners = require "lua_scanners"
if not lua_scanners[N] then
  lua_scanners.add_scanner(N, 'scanner',
      function(opts)
        local settings, reason = settings_of(opts)
        if not settings then
          rspamd_logger.errx(rspamd_config, '%s: %s', N, reason)
          return nil
        end
        settings.symbol = settings.symbol or CALLBACK
        settings.symbol_fail = settings.symbol_fail or FAIL
        settings.prefix = settings.prefix or 'rs_' .. N
        for _, symbol in ipairs(settings.symbols) do
          symbol.symbol, symbol.group = symbol.name, GROUP
        end
        return settings
      end,
      function(task, _, _, settings)
        check(task, settings)
      end)
end

local opts = rspamd_config:get_all_opt(N)
if type(opts) ~= 'table' then
  return
end
local settings, reason = settings_of(opts)
if not settings then
  rspamd_logger.errx(rspamd_config, '%s: %s; the module is disabled', N, reason)
  lua_util.disable_module(N, 'config')
  return
end
local builtin = rspamd_config:get_all_opt('mx_check')
if type(builtin) == 'table' and builtin.enabled ~= false then
  rspamd_logger.warnx(rspamd_config,
      '%s: the built-in module mx_check is configured too: every domain is checked and scored twice; switch one off', N)
end
if settings.timeout >= TASK_TIMEOUT then
  rspamd_logger.warnx(rspamd_config,
      '%s: timeout %s is not below rspamd\'s default task timeout of %s s', N, settings.timeout, TASK_TIMEOUT)
end

local id = rspamd_config:register_symbol({
  name = CALLBACK,
  type = 'callback',
  group = GROUP,
  flags = 'empty',
  callback = function(task)
    check(task, settings)
  end,
  augmentations = { string.format('timeout=%f', settings.timeout) },
})
rspamd_config:register_symbol({ name = FAIL, type = 'virtual', parent = id, group = GROUP, score = 0.0 })
for _, symbol in ipairs(settings.symbols) do
  rspamd_config:register_symbol({ name = symbol.name, type = 'virtual', parent = id, group = GROUP })
  rspamd_config:set_metric_symbol({
    name = symbol.name,
    score = symbol.score,
    description = symbol.description,
    group = GROUP,
    one_shot = true,
  })
end
