import p

if p.helper.NEW:
    f()
