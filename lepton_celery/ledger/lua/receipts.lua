-- Returns the places whose blocks have a receipt, as text.
-- ARGV: stage, places
local stage, places = ARGV[1], parse_places(ARGV[2])
if not is_open(stage) then
    return ''
end
local has_receipt, received = receipts_of(places), {}
for _, place in ipairs(places) do
    if has_receipt(place) then
        received[#received + 1] = place
    end
end
return table.concat(received, ' ')
